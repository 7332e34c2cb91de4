//! The REST API under `/api/v1`: one file per endpoint, each declaring method, path, permission and types once. The route
//! table, the OpenAPI document and the permission matrix of the tests are read from those declarations.
//!
//! Invariant: a handler runs only behind [`gate`], which authenticates, locates the resource, checks the permission, the rate
//! limit and the idempotency key. A route without a declared access does not exist: [`endpoint::Endpoint`] cannot be built without.
//!
//! To add an endpoint: a file in `v1/<resource>/<verb>.rs` with `endpoint()` and `handle`, one line in the resource's
//! `endpoints()`, an expectation in the permission table test, `make openapi`.

pub mod answer;
pub mod body;
pub mod endpoint;
pub mod host;
pub mod openapi;
pub mod rate;
pub mod server;
pub mod v1;

mod front;
mod gate;
mod headers;
mod idempotency;
mod pages;
mod precondition;
mod problem;
mod routes;
mod scope;

pub use answer::Answer;
pub use body::{Body, Query};
pub use precondition::IfMatch;
pub use problem::ApiError;
pub use scope::{Caller, Device, Requester, Visitor};

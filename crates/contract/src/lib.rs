//! The REST API's request and response types, shared by the API, the use cases and the command line.
//!
//! Invariant: a response type never has a field of type [`domain::Secret`] (it does not serialise), and every request type
//! refuses unknown fields. To add a resource: a module named as in every other crate.

pub mod accounts;
pub mod audit;
pub mod cleanup;
pub mod credentials;
pub mod deployments;
pub mod health;
pub mod instance;
pub mod logs;
pub mod organizations;
pub mod overview;
pub mod page;
pub mod problem;
pub mod projects;
pub mod releases;
pub mod replicas;
pub mod runs;
pub mod services;
pub mod tags;
pub mod tokens;
pub mod uploads;
pub mod variables;

pub use page::Page;
pub use problem::{Code, FieldError, Problem};

//! From one release to the next without a lost request.
//!
//! Decided in [`plan`], acted in [`apply`]. It must never touch the serving release before the new one is healthy (a service
//! with a single writer excepted, whose requests are held meanwhile), and never send a stop signal before the ingress has
//! confirmed that no request goes there any more.

pub mod apply;
pub mod health;
pub mod listeners;
pub mod plan;
pub mod prepare;
pub mod routes;

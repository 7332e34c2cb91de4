//! Use cases, one module per resource: authorise → change → enqueue → audit.
//!
//! Invariant: no Docker, git or mail call happens while a write unit is open; effects outside happen in jobs.
//! To add a use case: a file in the resource's module with a method of [`Control`] that takes an [`access::Actor`], asks
//! `require(permission)` first, opens one write unit, changes, appends one audit entry, commits.

pub mod access;
pub mod accounts;
pub mod audit;
pub mod background;
pub mod deployments;
pub mod error;
pub mod health;
pub mod idempotency;
pub mod keys;
pub mod limits;
pub mod logs;
pub mod mail;
pub mod recovery;
pub mod releases;
pub mod retention;
pub mod rotation;
pub mod running;
pub mod runs;
pub mod uploads;
pub mod variables;

mod credentials;
mod domains;
mod environments;
mod instance;
mod named;
mod organizations;
mod overview;
mod page;
mod projects;
mod search;
mod services;
mod state;
mod tags;
mod tokens;
mod volumes;
mod wakes;

pub use error::{ControlError, Result};
pub use state::{Control, ControlConfig, ControlParts};

/// The word by which an enum is stored and shown.
pub(crate) fn word(value: &impl serde::Serialize) -> String {
    store::text_of(value).unwrap_or_default()
}

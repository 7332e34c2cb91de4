//! Words of Seaway as types: identifiers, entities, state machines, limits. Pure: no input or output, no clock and no
//! randomness of its own.
//!
//! To add a resource: its id in [`id`], its entity in a module of its own, named as in every other crate.

pub mod address;
pub mod configuration_check;
pub mod credential;
pub mod deployment;
pub mod guard;
pub mod host;
pub mod id;
pub mod latency;
pub mod name;
pub mod permission;
pub mod project;
pub mod service;
pub mod variables;

mod clock;
mod entropy;
mod secret;

pub use clock::{Clock, FixedClock, SystemClock};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use secret::Secret;

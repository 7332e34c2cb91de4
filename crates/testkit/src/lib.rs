//! What tests of several crates need: databases, servers, builders, doubles of outside systems. Never linked into the
//! product.
//!
//! Crates below `control` depend on it without default features and get [`databases`] and [`postgres`] only.

pub mod databases;
pub mod postgres;

#[cfg(feature = "server")]
pub mod mailbox;
#[cfg(feature = "server")]
pub mod scripted;
#[cfg(feature = "server")]
pub mod scripted_logs;
#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "server")]
pub use server::{As, Backend, PASSWORD, Person, Reply, TestServer};

//! Logs of builds, deployments, runs and running replicas: stored on the server, read by position, followed without polling.
//!
//! It must never let one app's flood cost another app, the disk or the control plane: every stream has a bound in bytes, every
//! replica a bound in lines and bytes per second, and what is dropped is counted and shown as a gap.

mod budget;
pub mod collect;
mod record;
mod segment;
mod store;

pub use store::{LogLimits, LogStore, NewLine, failure};

/// A longer line is cut.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

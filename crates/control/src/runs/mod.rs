//! One-off commands in a fresh replica, and terminals in a running one.

pub mod job;
pub mod terminal;

mod cancel;
mod create;
mod read;

pub use deployer::protocol::{ExecInput, ExecSession, TerminalSize};

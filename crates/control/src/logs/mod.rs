//! Logs: lines live on the server; the control plane checks the right and hands the stream on.

pub mod close;
pub mod retention;

mod read;

pub use deployer::protocol::LogEvent;
pub use read::shown;

//! The binary as people start it: processes, signals, files, ports.
#![expect(clippy::unwrap_used, reason = "tests")]

mod client;
mod life;
mod rig;

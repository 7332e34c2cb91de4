//! What really runs: the state of a service, the sweep that repairs, the teardown that leaves nothing behind.

pub mod sweep;
pub mod teardown;

mod crashes;
mod status;

//! Use cases and jobs on both databases, with a scripted server side.
#![expect(clippy::unwrap_used, reason = "tests")]

mod authority;
mod crash;
mod crashes;
mod deploy;
mod frozen;
mod order;
mod removal;
mod rollback;
mod world;

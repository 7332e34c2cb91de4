//! Rotation of keys, backup and restore, over both databases.
#![expect(clippy::unwrap_used, reason = "tests")]

mod audit;
mod instance;
mod restore;
mod rotation;

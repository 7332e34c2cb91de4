//! The ingress from outside: real sockets, real backends, its admin API through the real client.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests stop at the first surprise")]

mod authority;
mod backend;
mod balancing;
mod changes;
mod limits;
mod persistence;
mod policies;
mod requests;
mod rig;
mod states;
mod streams;
mod switching;
mod table;
mod tls;

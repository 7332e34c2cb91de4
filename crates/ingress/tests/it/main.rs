//! The ingress from outside: real sockets, real backends, its admin API through the real client.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests stop at the first surprise")]

mod acme;
mod authority;
mod backend;
mod balancing;
mod changes;
mod conformance;
mod limits;
mod nameserver;
mod pebble;
mod persistence;
mod policies;
mod protocols;
mod requests;
mod rig;
mod states;
mod streams;
mod switching;
mod table;
mod tls;

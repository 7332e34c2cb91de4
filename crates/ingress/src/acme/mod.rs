//! Ordering and renewing certificates (RFC 8555, RFC 9773), in this process: it goes on with the control plane dead.
//!
//! Only names of the desired list are ever ordered, one order at a time for each name, within the authority's limits.
//! `schedule` and `ledger` decide (pure), `engine` and `order` act. To add a DNS provider: a variant of
//! [`crate::certificates::DnsProvider`], a file in `dns/`, its line in `dns/mod.rs`.

mod account;
mod answers;
mod dns;
mod engine;
mod failure;
mod ledger;
mod order;
pub mod schedule;
mod web;

pub use answers::Answers;
pub use engine::Engine;
pub use schedule::Progress;

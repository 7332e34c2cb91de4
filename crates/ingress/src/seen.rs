//! What the ingress sees of each service and release: counters, latencies, a table of sampled requests, access logs.
//!
//! Counters are atomics that a request touches a few times; nothing here waits, and everything is bounded.

pub mod counters;
pub mod endpoint;
pub mod line;
pub mod log;
pub mod meter;
pub mod prometheus;
pub mod samples;

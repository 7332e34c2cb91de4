//! Conformance: every repository method on both databases.
#![expect(clippy::unwrap_used, reason = "tests")]

mod audit;
mod paging;
mod units;
mod values;

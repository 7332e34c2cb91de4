//! Conformance: every repository method on both databases.
#![expect(clippy::unwrap_used, reason = "tests")]

mod accounts;
mod audit;
mod data_map;
mod deployments;
mod integrity;
mod jobs;
mod paging;
mod portable;
mod projects;
mod requests;
mod units;
mod values;

//! Releases: read, compared, marked, pruned.

pub mod prune;

mod read;
mod update;

//! Releases: read, compared, marked, pruned.

pub mod prune;

mod noted;
mod read;
mod update;

pub(crate) use noted::noted_variables;

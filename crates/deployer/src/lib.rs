//! The server side: sources, builders, container engine, rollout, logs, exec. Knows Docker, never tenants.
//!
//! Invariant: every process starts through [`process`], every connection to a user-chosen address goes through [`egress`],
//! every container spec leaves through [`policy`].

pub mod mask;
pub mod output;
pub mod process;
pub mod protocol;

//! The server side: sources, builders, container engine, rollout, logs, exec. Knows Docker, never tenants.
//!
//! Invariant: every process starts through [`process`], every connection to a user-chosen address goes through [`egress`],
//! every container spec leaves through [`policy`].

pub mod builder;
pub mod disk;
pub mod egress;
pub mod engine;
pub mod exec;
pub mod local;
pub mod logs;
pub mod mask;
pub mod network;
pub mod output;
pub mod parts;
pub mod policy;
pub mod process;
pub mod protocol;
pub mod reconcile;
pub mod removal;
pub mod replicas;
pub mod rollout;
pub mod run;
pub mod source;
pub mod state;
pub mod sweep;

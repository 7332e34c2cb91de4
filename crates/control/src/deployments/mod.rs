//! Deployments: taken in exactly once, run as a durable job, ended with a reason.
//!
//! A use case makes the row and the job in one unit ([`request`]); the job ([`job::DeploymentJob`]) builds, releases and
//! rolls out through the server's messages, with an intent row before and an outcome row after each step ([`journal`]).
//! A worker that dies leaves a job that another one goes on with; every step may run twice.

pub mod job;

mod cancel;
mod configuration;
mod create;
mod delete;
mod desired;
mod facts;
mod faults;
mod formation;
mod freeze;
mod frozen;
mod journal;
mod notice;
mod read;
mod request;
mod rollback;
mod scale;
mod shown;
mod switch_state;
mod waiting;

pub use faults::{Faults, Moment, NoFaults};
pub(crate) use formation::only_replicas;
pub(crate) use frozen::Reader;
pub(crate) use request::{Author, Request, system_author};

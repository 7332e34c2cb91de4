//! The runner of the durable queue: claims jobs, runs their handlers under a lease, records what came of them.
//!
//! A job is a row (`store::jobs`) that was committed together with the change that causes it. Its handler may be killed at
//! any point and run again by another process, so a handler is idempotent: it reads where the work stands, does the next
//! step, and writes each outcome in a unit that also checks its lease.
//!
//! **Never:** an outcome without [`Lease::check`] in the same unit; a call to the outside inside a unit; work that lives
//! only in memory; a sleep for an hour in a handler (give [`JobError::later`] instead).
//!
//! # Add a kind of job
//!
//! ```
//! use jobs::{Handler, Handlers, JobError, Lease};
//! use store::jobs::{JobRow, NewJob, Pool};
//! use tokio_util::sync::CancellationToken;
//!
//! struct SendMail { store: store::Store }
//!
//! #[async_trait::async_trait]
//! impl Handler for SendMail {
//!     fn kind(&self) -> &'static str { "mail.send" }
//!
//!     async fn run(&self, job: &JobRow, lease: Lease, cancel: CancellationToken) -> Result<(), JobError> {
//!         // 1. read the intent  2. act on the outside, watching `cancel`  3. write the outcome under the lease
//!         let mut write = self.store.write().await?;
//!         lease.check(&mut write).await?;
//!         // … UPDATE mails SET sent_at …
//!         write.commit_without_audit("delivery mark").await?;
//!         Ok(())
//!     }
//! }
//!
//! fn handlers(store: &store::Store) -> Handlers {
//!     Handlers::default().with(SendMail { store: store.clone() }).every("mail.sweep", std::time::Duration::from_secs(60))
//! }
//! // In the use case's unit:
//! // store::jobs::enqueue(&mut write, clock, entropy, NewJob { unique_key: Some(…), ..NewJob::new("mail.send", org, payload) })
//! ```
//!
//! **Ends**: `Ok` = succeeded; [`JobError::retry`] = again after a growing pause until `attempts_max`; [`JobError::fail`] =
//! failed now; [`JobError::Canceled`] = the handler saw `cancel` and has undone what it had begun;
//! [`JobError::Interrupted`] = the process stops ([`Lease::stopping`]), another one goes on. When a job ends without
//! success, [`Handler::give_up`] gets the chance to give what it worked on an end state too.

mod backoff;
mod context;
mod execute;
mod handler;
mod runner;
mod schedule;

pub use backoff::{RETRY_DELAY_FIRST, RETRY_DELAY_MAX};
pub use context::{Limits, Parts};
pub use handler::{Handler, Handlers, JobError, Lease};
pub use runner::{Runner, run_due};

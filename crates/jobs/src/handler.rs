//! Handlers of jobs, and what they are given.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::id::JobId;
use store::jobs::{self, JobRow};
use store::{StoreError, Write};
use tokio_util::sync::CancellationToken;

use crate::schedule::Schedule;

/// Does one kind of job. Idempotent: it may be killed anywhere and run again elsewhere.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// `deployment.run`: the kind that it is enqueued by.
    fn kind(&self) -> &'static str;

    /// Does the work. `cancel` fires when somebody asked for the end: undo, then return [`JobError::Canceled`].
    async fn run(&self, job: &JobRow, lease: Lease, cancel: CancellationToken) -> Result<(), JobError>;

    /// The job is about to end without success (no attempt left, deadline, too many lost workers): give what it worked on
    /// an end state with this reason. May run more than once.
    async fn give_up(&self, _job: &JobRow, _lease: Lease, _reason: &str) -> Result<(), JobError> {
        Ok(())
    }

    /// The longest a single attempt may take.
    fn attempt_timeout(&self) -> Duration {
        Duration::from_secs(3_600)
    }
}

/// How an attempt ended without success.
#[derive(Debug)]
pub enum JobError {
    /// Again, after the given or a growing pause.
    Retry { error: anyhow::Error, after: Option<Duration> },
    /// Over: another attempt would end the same way.
    Fail(anyhow::Error),
    /// Ended as asked by `cancel`.
    Canceled,
    /// Left in the middle because the process stops; goes on elsewhere.
    Interrupted,
}

impl JobError {
    pub fn retry(error: impl Into<anyhow::Error>) -> Self {
        Self::Retry { error: error.into(), after: None }
    }

    /// Again after this long; counts as an attempt.
    pub fn later(error: impl Into<anyhow::Error>, after: Duration) -> Self {
        Self::Retry { error: error.into(), after: Some(after) }
    }

    pub fn fail(error: impl Into<anyhow::Error>) -> Self {
        Self::Fail(error.into())
    }
}

/// `?` on an error that says nothing of itself means: try again.
impl From<anyhow::Error> for JobError {
    fn from(error: anyhow::Error) -> Self {
        Self::retry(error)
    }
}

impl From<StoreError> for JobError {
    fn from(error: StoreError) -> Self {
        Self::retry(error)
    }
}

/// The right to write outcomes of a job, until somebody else takes it over.
#[derive(Debug, Clone)]
pub struct Lease {
    pub job: JobId,
    /// Grows with every claim; pass it to outside systems that can compare it.
    pub fence: i64,
    pub(crate) stopping: CancellationToken,
}

impl Lease {
    /// `Stale` when the job belongs to another worker by now: write nothing. Holds the job until the unit ends.
    pub async fn check(&self, write: &mut Write) -> Result<(), StoreError> {
        jobs::check_fence(write, self.job, self.fence).await
    }

    /// Fires when the process is about to stop. A handler that can stop between steps returns [`JobError::Interrupted`];
    /// others are dropped where they stand when the grace ends.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }
}

/// The handlers by kind, and what recurs.
#[derive(Default, Clone)]
pub struct Handlers {
    by_kind: HashMap<&'static str, Arc<dyn Handler>>,
    pub(crate) schedules: Vec<Schedule>,
}

impl Handlers {
    #[must_use]
    pub fn with(mut self, handler: impl Handler) -> Self {
        self.by_kind.insert(handler.kind(), Arc::new(handler));
        self
    }

    /// Enqueues a job of this kind (payload `{}`, background) now and then once per period, on one process only, and never
    /// a second while one is not finished. Missed turns are not made up.
    #[must_use]
    pub fn every(mut self, kind: &'static str, period: Duration) -> Self {
        self.schedules.push(Schedule { kind, period });
        self
    }

    pub(crate) fn get(&self, kind: &str) -> Option<Arc<dyn Handler>> {
        self.by_kind.get(kind).cloned()
    }
}

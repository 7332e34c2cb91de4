//! One attempt of one job: run the handler, record what came of it under the fence.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use domain::Clock;
use store::jobs::{self, JobRow, JobState};
use store::{StoreError, Write};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;
use tracing::field::Empty;

use crate::context::later;
use crate::{Handler, JobError, Lease, Parts, backoff};

/// A job whose workers die this often kills them itself: it is given up.
pub(crate) const CLAIMS_LOST_MAX: i64 = 20;
/// A job of a kind that this version does not know is looked at again after this long.
const UNKNOWN_KIND_DELAY: Duration = Duration::from_secs(60);
/// Pause between tries to record an outcome while the database is away.
const RECORD_RETRY_DELAY: Duration = Duration::from_millis(200);

/// What fires for a running job.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    /// Somebody asked for the end.
    pub(crate) cancel: CancellationToken,
    /// The process stops.
    pub(crate) stopping: CancellationToken,
    /// The lease is gone, or the grace is over: drop everything.
    pub(crate) abort: CancellationToken,
}

/// How the row is to end.
enum Verdict {
    Finish(JobState, Option<String>),
    Retry {
        error: String,
        after: Duration,
    },
    Release,
    /// The job is not ours any more.
    Nothing,
}

/// Runs the job to the end of this attempt and records it. Never fails: what cannot be recorded is done by the next worker.
pub(crate) async fn execute(parts: Arc<Parts>, job: JobRow, signals: Signals) {
    let span = tracing::info_span!(
        "job",
        job = %job.id,
        kind = job.kind,
        attempt = job.attempt,
        organization = Empty,
        deployment = Empty,
        service = Empty,
        run = Empty,
    );
    if let Some(organization) = job.organization() {
        span.record("organization", organization.to_string());
    }
    // What the job is about: payloads hold ids, never secrets.
    for name in ["deployment", "service", "run"] {
        if let Some(id) = job.payload.0.get(name).and_then(serde_json::Value::as_str) {
            span.record(name, id);
        }
    }
    run(parts, job, signals).instrument(span).await;
}

async fn run(parts: Arc<Parts>, job: JobRow, signals: Signals) {
    let lease = Lease { job: job.id, fence: job.fence, stopping: signals.stopping.clone() };
    let verdict = attempt(&parts, &job, &lease, &signals).await;
    // Also after an abort: the fence refuses what is not ours any more.
    if let Err(error) = record(&parts, &job, &verdict).await {
        // Not an error for a person: the lease ends and another worker goes on.
        tracing::warn!(job = %job.id, kind = job.kind, error = ?error, "outcome of job {} was not recorded", job.id);
    }
}

async fn attempt(parts: &Arc<Parts>, job: &JobRow, lease: &Lease, signals: &Signals) -> Verdict {
    let Some(handler) = parts.handlers.get(&job.kind) else {
        tracing::warn!(job = %job.id, kind = job.kind, "no handler for jobs of kind {}", job.kind);
        let error = format!("this version has no handler for {}", job.kind);
        return end_of_retry(job, error, UNKNOWN_KIND_DELAY);
    };
    if job.claims_lost() >= CLAIMS_LOST_MAX {
        let reason = format!("given up: {} workers were lost while they ran it", job.claims_lost());
        return give_up(&handler, job, lease, reason).await;
    }
    let remaining = remaining(&*parts.clock, job);
    if remaining == Some(Duration::ZERO) {
        return give_up(&handler, job, lease, "given up: its deadline passed before it could run".to_owned()).await;
    }
    if job.cancel_requested_at.is_some() {
        signals.cancel.cancel();
    }
    let limit = handler.attempt_timeout().min(remaining.unwrap_or(Duration::MAX));
    let work = {
        let (handler, job, lease, cancel) = (Arc::clone(&handler), job.clone(), lease.clone(), signals.cancel.clone());
        // A task of its own: a panic ends the attempt, not the runner. Aborted when this future is dropped.
        AbortOnDropHandle::new(tokio::spawn(async move { handler.run(&job, lease, cancel).await }.in_current_span()))
    };
    let result = tokio::select! {
        biased;
        result = timeout(limit, work) => result,
        () = signals.abort.cancelled() => {
            return if signals.stopping.is_cancelled() { Verdict::Release } else { Verdict::Nothing };
        }
    };
    let error = match result {
        Ok(Ok(Ok(()))) => return Verdict::Finish(JobState::Succeeded, None),
        Ok(Ok(Err(error))) => error,
        Ok(Err(panic)) => {
            tracing::error!(job = %job.id, kind = job.kind, error = ?panic, "job {} ({}) panicked", job.id, job.kind);
            JobError::retry(anyhow!("the handler panicked"))
        }
        Err(_) if remaining.is_some_and(|remaining| remaining <= limit) => {
            return give_up(&handler, job, lease, "given up: its deadline passed while it ran".to_owned()).await;
        }
        Err(_) => JobError::retry(anyhow!("the attempt took longer than {} s", limit.as_secs())),
    };
    match error {
        JobError::Canceled => Verdict::Finish(JobState::Canceled, None),
        JobError::Interrupted => Verdict::Release,
        JobError::Fail(error) => give_up(&handler, job, lease, format!("{error:#}")).await,
        JobError::Retry { error, after } => {
            let after = after.unwrap_or_else(|| backoff::delay(job.attempt, &*parts.entropy));
            let error = format!("{error:#}");
            tracing::info!(job = %job.id, kind = job.kind, attempt = job.attempt, error, "attempt of job {} failed", job.id);
            match end_of_retry(job, error, after) {
                Verdict::Finish(_, Some(reason)) => give_up(&handler, job, lease, reason).await,
                verdict => verdict,
            }
        }
    }
}

fn end_of_retry(job: &JobRow, error: String, after: Duration) -> Verdict {
    if job.attempt.saturating_add(1) >= job.attempts_max {
        return Verdict::Finish(JobState::Failed, Some(error));
    }
    Verdict::Retry { error, after }
}

/// Lets the handler end what it worked on, then the job fails. If that does not succeed either, it is tried again later.
async fn give_up(handler: &Arc<dyn Handler>, job: &JobRow, lease: &Lease, reason: String) -> Verdict {
    match handler.give_up(job, lease.clone(), &reason).await {
        Ok(()) => Verdict::Finish(JobState::Failed, Some(reason)),
        // The fence moved on or the database is away: the next worker comes here again.
        Err(error) => {
            tracing::warn!(job = %job.id, kind = job.kind, ?error, "giving up job {} failed", job.id);
            Verdict::Nothing
        }
    }
}

/// Time until the deadline; zero when it has passed.
fn remaining(clock: &dyn Clock, job: &JobRow) -> Option<Duration> {
    job.deadline.map(|deadline| (deadline - clock.now()).to_std().unwrap_or(Duration::ZERO))
}

/// Writes the verdict; patient while the database is away, but not longer than the lease.
async fn record(parts: &Parts, job: &JobRow, verdict: &Verdict) -> Result<(), StoreError> {
    let start = Instant::now();
    loop {
        match record_once(parts, job, verdict).await {
            Err(StoreError::Unavailable(_) | StoreError::Contention(_)) if start.elapsed() < parts.limits.lease => {
                sleep(RECORD_RETRY_DELAY).await;
            }
            outcome => return outcome,
        }
    }
}

async fn record_once(parts: &Parts, job: &JobRow, verdict: &Verdict) -> Result<(), StoreError> {
    if matches!(verdict, Verdict::Nothing) {
        return Ok(());
    }
    let mut write: Write = parts.store.write().await?;
    let now = parts.clock.now();
    match verdict {
        Verdict::Finish(state, error) => jobs::finish(&mut write, job.id, job.fence, *state, error.as_deref(), now).await?,
        Verdict::Retry { error, after } => jobs::retry(&mut write, job.id, job.fence, error, later(now, *after)).await?,
        Verdict::Release => jobs::release(&mut write, job.id, job.fence).await?,
        Verdict::Nothing => {}
    }
    write.commit_without_audit("bookkeeping of a job").await
}

//! The durable queue's rows. The runner is the crate `jobs`; use cases call [`enqueue`] inside the unit that causes the work.
//!
//! **Fair**: the next job belongs to the organization with the fewest running jobs in the pool, then to the one served
//! longest ago. **Serial**: of one `serial_key` at most one runs, in the order of enqueueing, retries included.
//! **Fenced**: each claim raises `fence`; every outcome compares it, so a worker that lost its lease cannot write.

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{Id, JobId, OrganizationId};
use domain::{Clock, Entropy};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{Json, StoreError, Unit, Write, execute, fetch_all, fetch_one, fetch_optional, row};

/// A retry that is enqueued against a finishing twin tries this often to become the new one.
const ENQUEUE_ATTEMPTS_MAX: u32 = 3;
/// Finished jobs deleted per call of [`delete_finished`].
const DELETE_BATCH: i64 = 1_000;
/// Length of a stored error text, in characters.
const ERROR_LENGTH_MAX: usize = 2_000;

/// Two queues with own workers: a flood of background work does not delay a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    Deployments,
    Background,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Canceled,
}

crate::text_value!(Pool, JobState);

/// Work to be done, once the unit is committed.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The handler's name: `deployment.run`.
    pub kind: &'static str,
    /// Whose turn it takes; `None` for work of the instance itself.
    pub organization: Option<OrganizationId>,
    pub pool: Pool,
    /// Higher first, within one organization.
    pub priority: i64,
    /// Jobs with the same key run one after the other: a service's id.
    pub serial_key: Option<String>,
    /// While a job with this key is not finished, enqueueing another gives the first.
    pub unique_key: Option<String>,
    /// Ids, never secrets.
    pub payload: Value,
    /// Not before; `None` is now.
    pub run_at: Option<DateTime<Utc>>,
    /// How often the handler may fail with "retry" (1 = no retry). Lost workers do not count.
    pub attempts_max: u32,
    /// After this instant the job is given up, also in the middle.
    pub deadline: Option<DateTime<Utc>>,
}

impl NewJob {
    pub fn new(kind: &'static str, organization: Option<OrganizationId>, payload: Value) -> Self {
        Self {
            kind,
            organization,
            pool: Pool::Background,
            priority: 0,
            serial_key: None,
            unique_key: None,
            payload,
            run_at: None,
            attempts_max: 10,
            deadline: None,
        }
    }
}

/// The id of the job that will do the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    New(JobId),
    /// One with the same unique key is not finished yet.
    Existing(JobId),
}

impl Enqueued {
    pub fn id(self) -> JobId {
        match self {
            Self::New(id) | Self::Existing(id) => id,
        }
    }
}

row! {
    pub struct JobRow {
        pub id: JobId,
        pub kind: String,
        pub tenant: Uuid,
        pub pool: Pool,
        pub priority: i64,
        pub serial_key: Option<String>,
        pub unique_key: Option<String>,
        pub payload: Json<Value>,
        pub state: JobState,
        pub run_at: DateTime<Utc>,
        /// Ended attempts that asked for a retry.
        pub attempt: u32,
        pub attempts_max: u32,
        pub deadline: Option<DateTime<Utc>>,
        pub lease_owner: Option<String>,
        pub lease_until: Option<DateTime<Utc>>,
        pub fence: i64,
        pub cancel_requested_at: Option<DateTime<Utc>>,
        pub error: Option<String>,
        pub created_at: DateTime<Utc>,
        pub started_at: Option<DateTime<Utc>>,
        pub finished_at: Option<DateTime<Utc>>,
    }
}

impl JobRow {
    pub fn organization(&self) -> Option<OrganizationId> {
        (!self.tenant.is_nil()).then(|| OrganizationId::from_uuid(self.tenant))
    }

    /// How often a worker took the job and was never heard of again (or was shut down).
    pub fn claims_lost(&self) -> i64 {
        self.fence.saturating_sub(i64::from(self.attempt)).saturating_sub(1)
    }
}

row! {
    struct TenantRow {
        tenant: Uuid,
    }
}

row! {
    struct BeatRow {
        id: JobId,
        cancel_requested_at: Option<DateTime<Utc>>,
    }
}

/// Who claims, and until when the claim holds without a heartbeat.
#[derive(Debug, Clone)]
pub struct Claimer<'a> {
    /// Unique per start of a process.
    pub owner: &'a str,
    pub lease_until: DateTime<Utc>,
}

/// What came of a wish to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// It had never started: it is over now.
    Canceled,
    /// It has started: its handler is told and ends it.
    Requested,
    /// It was over before, or never was.
    Finished,
}

/// Puts work into the queue; the runner hears of it after the commit.
pub async fn enqueue(write: &mut Write, clock: &dyn Clock, entropy: &dyn Entropy, job: NewJob) -> Result<Enqueued, StoreError> {
    let text = "INSERT INTO jobs (id, kind, tenant, pool, priority, serial_key, unique_key, payload, state, run_at, attempt, \
                attempts_max, deadline, fence, created_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'queued', $9, 0, $10, $11, 0, $12) \
                ON CONFLICT (unique_key) WHERE state IN ('queued', 'running') DO NOTHING";
    let id = JobId::new(clock, entropy);
    let now = clock.now();
    let tenant = job.organization.map_or(Uuid::nil(), Id::uuid);
    let run_at = job.run_at.unwrap_or(now);
    let created_at = match &job.serial_key {
        Some(key) => behind(write, key, now).await?,
        None => now,
    };
    for _ in 0..ENQUEUE_ATTEMPTS_MAX {
        let inserted = execute!(
            write,
            text,
            id,
            job.kind,
            tenant,
            job.pool,
            job.priority,
            &job.serial_key,
            &job.unique_key,
            &job.payload,
            run_at,
            job.attempts_max.max(1),
            job.deadline,
            created_at
        )
        .await?;
        if inserted == 1 {
            write.mark_jobs_enqueued();
            return Ok(Enqueued::New(id));
        }
        let text = "SELECT id AS value FROM jobs WHERE unique_key = $1 AND state IN ('queued', 'running')";
        if let Some((existing,)) = fetch_optional!(write, (JobId,), text, &job.unique_key).await? {
            return Ok(Enqueued::Existing(existing));
        }
    }
    Err(StoreError::Stale { row: "jobs" })
}

/// A time behind every open job of the serial key: they run in the order in which they were enqueued, also when the clock
/// stands still or was set back in between. Callers that enqueue for one key at the same time hold a lock for it.
async fn behind(write: &mut Write, serial_key: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, StoreError> {
    let text =
        "SELECT created_at AS value FROM jobs WHERE serial_key = $1 AND state IN ('queued', 'running') ORDER BY created_at DESC LIMIT 1";
    let last = fetch_optional!(write, (DateTime<Utc>,), text, serial_key).await?;
    Ok(last.map_or(now, |(last,)| now.max(last + TimeDelta::microseconds(1))))
}

/// The job; `None` when there is none or it was cleaned up.
pub async fn find(unit: &mut impl Unit, id: JobId) -> Result<Option<JobRow>, StoreError> {
    fetch_optional!(unit, JobRow, "SELECT {columns} FROM jobs WHERE id = $1", id).await
}

/// True when [`claim`] may find something. Cheap: asked before a write unit is opened, so that idling writes nothing.
pub async fn is_due(unit: &mut impl Unit, pool: Pool, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let text = "SELECT id AS value FROM jobs WHERE pool = $1 AND state = 'queued' AND run_at <= $2 LIMIT 1";
    Ok(fetch_optional!(unit, (JobId,), text, pool, now).await?.is_some())
}

/// Takes up to `count` jobs of the pool, fairly. Each has a new fence.
pub async fn claim(
    write: &mut Write,
    pool: Pool,
    claimer: &Claimer<'_>,
    now: DateTime<Utc>,
    count: usize,
) -> Result<Vec<JobRow>, StoreError> {
    // One claimer of a pool at a time: the order is decided over many rows.
    write.exclusive(&format!("jobs.claim.{pool:?}")).await?;
    let mut claimed = Vec::new();
    while claimed.len() < count {
        match claim_one(write, pool, claimer, now).await? {
            Some(job) => claimed.push(job),
            None => break,
        }
    }
    Ok(claimed)
}

async fn claim_one(write: &mut Write, pool: Pool, claimer: &Claimer<'_>, now: DateTime<Utc>) -> Result<Option<JobRow>, StoreError> {
    // The tenants with queued jobs, found by hopping over the index: a tenant with 10,000 jobs costs one hop.
    let text = "WITH RECURSIVE waiting (tenant) AS ( \
                    SELECT (SELECT tenant FROM jobs WHERE pool = $1 AND state = 'queued' ORDER BY tenant LIMIT 1) \
                    UNION ALL \
                    SELECT (SELECT j.tenant FROM jobs j WHERE j.pool = $1 AND j.state = 'queued' AND j.tenant > w.tenant \
                            ORDER BY j.tenant LIMIT 1) \
                    FROM waiting w WHERE w.tenant IS NOT NULL) \
                SELECT w.tenant AS tenant FROM waiting w \
                LEFT JOIN job_turns t ON t.pool = $1 AND t.tenant = w.tenant \
                WHERE w.tenant IS NOT NULL \
                ORDER BY (SELECT count(*) FROM jobs r WHERE r.pool = $1 AND r.state = 'running' AND r.tenant = w.tenant), \
                         t.served_at NULLS FIRST, w.tenant";
    for TenantRow { tenant } in fetch_all!(write, TenantRow, text, pool).await? {
        let text = "SELECT j.id AS value FROM jobs j \
                    WHERE j.pool = $1 AND j.tenant = $2 AND j.state = 'queued' AND j.run_at <= $3 \
                      AND (j.serial_key IS NULL OR NOT EXISTS ( \
                           SELECT 1 FROM jobs e WHERE e.serial_key = j.serial_key AND e.state IN ('queued', 'running') \
                             AND e.id <> j.id AND (e.state = 'running' OR (e.created_at, e.id) < (j.created_at, j.id)))) \
                    ORDER BY j.priority DESC, j.created_at, j.id LIMIT 1";
        let Some((id,)) = fetch_optional!(write, (JobId,), text, pool, tenant, now).await? else { continue };
        let text = "UPDATE jobs SET state = 'running', fence = fence + 1, lease_owner = $2, lease_until = $3, \
                    started_at = COALESCE(started_at, $4) WHERE id = $1 AND state = 'queued' RETURNING {columns}";
        // A job cancelled at this very moment is gone: the next tenant's turn.
        let Some(job) = fetch_optional!(write, JobRow, text, id, claimer.owner, claimer.lease_until, now).await? else { continue };
        let text = "INSERT INTO job_turns (pool, tenant, served_at) VALUES ($1, $2, $3) \
                    ON CONFLICT (pool, tenant) DO UPDATE SET served_at = excluded.served_at";
        execute!(write, text, pool, tenant, now).await?;
        return Ok(Some(job));
    }
    Ok(None)
}

/// `Stale` unless the caller still holds the job. Locks it until the unit ends: call it in the unit that writes an outcome.
pub async fn check_fence(write: &mut Write, id: JobId, fence: i64) -> Result<(), StoreError> {
    let text = "SELECT id AS value FROM jobs WHERE id = $1 AND fence = $2 AND state = 'running' {for update}";
    fetch_optional!(write, (JobId,), text, id, fence).await?.map(|_| ()).ok_or(StoreError::Stale { row: "jobs" })
}

/// Extends the lease. `Ok(true)`: somebody wants the job cancelled. `Stale`: the job is not the caller's any more.
pub async fn heartbeat(write: &mut Write, id: JobId, fence: i64, lease_until: DateTime<Utc>) -> Result<bool, StoreError> {
    let text = "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING {columns}";
    let row = fetch_optional!(write, BeatRow, text, id, fence, lease_until).await?.ok_or(StoreError::Stale { row: "jobs" })?;
    Ok(row.id == id && row.cancel_requested_at.is_some())
}

/// Ends the job; `state` is one of the three end states.
pub async fn finish(
    write: &mut Write,
    id: JobId,
    fence: i64,
    state: JobState,
    error: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let text = "UPDATE jobs SET state = $3, error = $4, finished_at = $5, lease_owner = NULL, lease_until = NULL \
                WHERE id = $1 AND fence = $2 AND state = 'running'";
    fenced(execute!(write, text, id, fence, state, error.map(shorten), now).await?)?;
    // The next one of the same serial key may be waiting.
    write.mark_jobs_enqueued();
    Ok(())
}

/// Puts the job back for another attempt.
pub async fn retry(write: &mut Write, id: JobId, fence: i64, error: &str, run_at: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE jobs SET state = 'queued', attempt = attempt + 1, error = $3, run_at = $4, lease_owner = NULL, \
                lease_until = NULL WHERE id = $1 AND fence = $2 AND state = 'running'";
    fenced(execute!(write, text, id, fence, shorten(error), run_at).await?)
}

/// Gives the job back unfinished (ordered shutdown); another worker may take it at once.
pub async fn release(write: &mut Write, id: JobId, fence: i64) -> Result<(), StoreError> {
    let text = "UPDATE jobs SET state = 'queued', lease_owner = NULL, lease_until = NULL \
                WHERE id = $1 AND fence = $2 AND state = 'running'";
    fenced(execute!(write, text, id, fence).await?)
}

/// Asks for the end of a job; call it first in a unit, before other rows are locked. One that has started before ends through its handler, which may have things to undo.
pub async fn cancel(write: &mut Write, id: JobId, now: DateTime<Utc>) -> Result<Cancel, StoreError> {
    if cancel_waiting(write, id, now).await? {
        return Ok(Cancel::Canceled);
    }
    let text = "UPDATE jobs SET cancel_requested_at = COALESCE(cancel_requested_at, $2), \
                run_at = CASE WHEN state = 'queued' AND run_at > $2 THEN $2 ELSE run_at END \
                WHERE id = $1 AND state IN ('queued', 'running')";
    let requested = execute!(write, text, id, now).await? == 1;
    if requested {
        write.mark_jobs_enqueued();
    }
    Ok(if requested { Cancel::Requested } else { Cancel::Finished })
}

/// Ends a job that no worker has ever taken up; `false`, and nothing changed, when one has.
pub async fn cancel_waiting(write: &mut Write, id: JobId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let text = "UPDATE jobs SET state = 'canceled', cancel_requested_at = $2, finished_at = $2 \
                WHERE id = $1 AND state = 'queued' AND fence = 0";
    let canceled = execute!(write, text, id, now).await? == 1;
    if canceled {
        write.mark_jobs_enqueued();
    }
    Ok(canceled)
}

/// True when some worker's lease has run out.
pub async fn has_expired(unit: &mut impl Unit, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let text = "SELECT id AS value FROM jobs WHERE state = 'running' AND lease_until < $1 LIMIT 1";
    Ok(fetch_optional!(unit, (JobId,), text, now).await?.is_some())
}

/// Puts back every running job whose lease has run out. Returns how many.
pub async fn reclaim_expired(write: &mut Write, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let text = "UPDATE jobs SET state = 'queued', lease_owner = NULL, lease_until = NULL \
                WHERE state = 'running' AND lease_until < $1";
    let count = execute!(write, text, now).await?;
    reclaimed(write, count)
}

/// Puts back every running job of other owners at once. Only for a process that has proved (by the lock on its data
/// folder) that it is the only one.
pub async fn reclaim_previous_owner(write: &mut Write, owner: &str) -> Result<u64, StoreError> {
    let text = "UPDATE jobs SET state = 'queued', lease_owner = NULL, lease_until = NULL \
                WHERE state = 'running' AND lease_owner <> $1";
    let count = execute!(write, text, owner).await?;
    reclaimed(write, count)
}

/// Of the jobs that this owner runs, those that somebody wants cancelled.
pub async fn list_cancel_requested(unit: &mut impl Unit, owner: &str) -> Result<Vec<JobId>, StoreError> {
    let text = "SELECT id AS value FROM jobs WHERE state = 'running' AND lease_owner = $1 AND cancel_requested_at IS NOT NULL";
    Ok(fetch_all!(unit, (JobId,), text, owner).await?.into_iter().map(|row| row.0).collect())
}

/// When a recurring kind is due next; `None` before its first turn.
pub async fn next_turn(unit: &mut impl Unit, kind: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
    let text = "SELECT next_at AS value FROM job_schedules WHERE kind = $1";
    Ok(fetch_optional!(unit, (DateTime<Utc>,), text, kind).await?.map(|row| row.0))
}

/// Takes the turn of a recurring kind: true for exactly one caller per turn.
///
/// `next` is when the turn after this one is due. A stored turn later than `next` (the clock went back) counts as due.
pub async fn take_turn(write: &mut Write, kind: &str, now: DateTime<Utc>, next: DateTime<Utc>) -> Result<bool, StoreError> {
    let text = "INSERT INTO job_schedules (kind, next_at) VALUES ($1, $2) ON CONFLICT (kind) DO NOTHING";
    execute!(write, text, kind, now).await?;
    let text = "UPDATE job_schedules SET next_at = $3 WHERE kind = $1 AND (next_at <= $2 OR next_at > $3)";
    Ok(execute!(write, text, kind, now, next).await? == 1)
}

/// Deletes jobs that ended before the given time, a batch at a time. Returns how many.
pub async fn delete_finished(write: &mut Write, before: DateTime<Utc>) -> Result<u64, StoreError> {
    let text = "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE finished_at < $1 ORDER BY finished_at LIMIT $2)";
    execute!(write, text, before, DELETE_BATCH).await
}

/// Since when the oldest job is due that waits for nothing but a worker (no earlier one of its serial key is left).
pub async fn oldest_due(unit: &mut impl Unit, pool: Pool, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
    let text = "SELECT j.run_at AS value FROM jobs j WHERE j.pool = $1 AND j.state = 'queued' AND j.run_at <= $2 AND NOT EXISTS \
                (SELECT 1 FROM jobs e WHERE e.serial_key = j.serial_key AND e.state IN ('queued', 'running') \
                AND (e.created_at, e.id) < (j.created_at, j.id)) ORDER BY j.run_at LIMIT 1";
    Ok(fetch_optional!(unit, (DateTime<Utc>,), text, pool, now).await?.map(|row| row.0))
}

/// Jobs of the pool that a living worker holds.
pub async fn count_held(unit: &mut impl Unit, pool: Pool, now: DateTime<Utc>) -> Result<i64, StoreError> {
    let text = "SELECT count(*) AS value FROM jobs WHERE pool = $1 AND state = 'running' AND lease_until > $2";
    Ok(fetch_one!(unit, (i64,), text, pool, now).await?.0)
}

/// Jobs of the pool in a state; for status pages and tests.
pub async fn count(unit: &mut impl Unit, pool: Pool, state: JobState) -> Result<i64, StoreError> {
    let text = "SELECT count(*) AS value FROM jobs WHERE pool = $1 AND state = $2";
    Ok(fetch_one!(unit, (i64,), text, pool, state).await?.0)
}

fn fenced(changed: u64) -> Result<(), StoreError> {
    if changed == 1 { Ok(()) } else { Err(StoreError::Stale { row: "jobs" }) }
}

fn reclaimed(write: &mut Write, count: u64) -> Result<u64, StoreError> {
    if count > 0 {
        write.mark_jobs_enqueued();
    }
    Ok(count)
}

fn shorten(error: &str) -> String {
    error.chars().take(ERROR_LENGTH_MAX).collect()
}

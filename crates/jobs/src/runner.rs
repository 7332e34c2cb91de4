//! The loop that hands out jobs: one task per process, woken by commits in this process and by a slow poll.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use domain::id::JobId;
use store::StoreError;
use store::jobs::{self, Claimer, JobRow, Pool};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::Parts;
use crate::execute::{Signals, execute};
use crate::schedule::Turns;

/// After the grace, releasing the leases may take this long.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// A running runner. [`Runner::stop`] ends it in order; dropping it is like a kill: its jobs are taken over when their
/// leases run out.
pub struct Runner {
    stopping: CancellationToken,
    grace: Arc<OnceLock<Duration>>,
    dispatcher: AbortOnDropHandle<()>,
}

impl Runner {
    pub fn start(parts: Parts) -> Self {
        let stopping = CancellationToken::new();
        let grace = Arc::new(OnceLock::new());
        let dispatcher = Dispatcher {
            turns: Turns::new(&parts.handlers.schedules, parts.clock.now()),
            parts: Arc::new(parts),
            running: Arc::default(),
            tracker: TaskTracker::new(),
            killed: CancellationToken::new(),
            ended: Arc::default(),
            last_beat: Instant::now(),
        };
        let task = tokio::spawn(dispatcher.run(stopping.clone(), Arc::clone(&grace)));
        Self { stopping, grace, dispatcher: AbortOnDropHandle::new(task) }
    }

    /// Claims nothing more, lets the running jobs end for as long as `grace`, then drops them and gives them back.
    pub async fn stop(self, grace: Duration) {
        let _ = self.grace.set(grace);
        self.stopping.cancel();
        if let Err(error) = self.dispatcher.await {
            tracing::error!(error = ?error, "the job runner ended by itself");
        }
    }

    /// Ends when the runner ended by itself (a defect): the process should stop rather than accept work nobody does.
    pub async fn ended(&mut self) {
        let _ = (&mut self.dispatcher).await;
    }
}

/// Runs everything that is due, in this task, until nothing is; returns how many attempts were made. For tests and verbs.
pub async fn run_due(parts: &Arc<Parts>) -> Result<usize, StoreError> {
    let mut attempts = 0;
    loop {
        let before = attempts;
        for pool in [Pool::Deployments, Pool::Background] {
            for job in claim(parts, pool, 1).await? {
                execute(Arc::clone(parts), job, Signals::default()).await;
                attempts += 1;
            }
        }
        if attempts == before {
            return Ok(attempts);
        }
    }
}

async fn claim(parts: &Parts, pool: Pool, count: usize) -> Result<Vec<JobRow>, StoreError> {
    let now = parts.clock.now();
    if count == 0 || !jobs::is_due(&mut parts.store.read().await?, pool, now).await? {
        return Ok(Vec::new());
    }
    let mut write = parts.store.write().await?;
    let claimer = Claimer { owner: &parts.owner, lease_until: parts.lease_until() };
    let claimed = jobs::claim(&mut write, pool, &claimer, now, count).await?;
    if claimed.is_empty() {
        // Due but waiting for an earlier one of its serial key: nothing to write.
        return Ok(claimed);
    }
    write.commit_without_audit("claim of jobs").await?;
    Ok(claimed)
}

struct Running {
    fence: i64,
    pool: Pool,
    signals: Signals,
    beat_at: Instant,
}

type RunningJobs = Arc<Mutex<HashMap<JobId, Running>>>;

struct Dispatcher {
    parts: Arc<Parts>,
    running: RunningJobs,
    tracker: TaskTracker,
    /// Fires when the dispatcher is dropped: nothing of it may go on.
    killed: CancellationToken,
    /// A slot became free.
    ended: Arc<Notify>,
    turns: Turns,
    last_beat: Instant,
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.killed.cancel();
    }
}

impl Dispatcher {
    async fn run(mut self, stopping: CancellationToken, grace: Arc<OnceLock<Duration>>) {
        let store = self.parts.store.clone();
        loop {
            // Never longer than a lease lasts: what runs here must be stopped in time when the database hangs.
            if timeout(self.parts.limits.lease / 2, self.tick()).await.is_err() {
                tracing::warn!("the job runner waits for the database");
            }
            self.drop_lost();
            tokio::select! {
                () = stopping.cancelled() => break,
                () = store.jobs_enqueued().notified() => {}
                () = self.ended.notified() => {}
                () = sleep(self.parts.limits.poll) => {}
            }
        }
        self.drain(grace.get().copied().unwrap_or_default()).await;
    }

    /// One failed step must not keep the others from being done: each is tried by itself.
    async fn tick(&mut self) {
        let steps =
            [self.beat().await, self.see_cancellations().await, self.reclaim().await, self.take_turns().await, self.dispatch().await];
        for error in steps.into_iter().filter_map(Result::err) {
            // The database is away or busy: everything waits, nothing is lost.
            tracing::warn!(error = ?error, "the job runner cannot reach the queue");
        }
    }

    /// Waits for the running jobs, keeping their leases alive; then drops the rest and gives them back.
    async fn drain(mut self, grace: Duration) {
        self.for_each(|running| running.signals.stopping.cancel());
        self.tracker.close();
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline && !self.tracker.is_empty() {
            if self.beat().await.and(self.see_cancellations().await).is_err() {
                tracing::warn!("the job runner cannot reach the queue while it stops");
            }
            let pause = self.parts.limits.poll.min(deadline.saturating_duration_since(Instant::now()));
            let _ = timeout(pause, self.tracker.wait()).await;
        }
        self.for_each(|running| running.signals.abort.cancel());
        let _ = timeout(RELEASE_TIMEOUT, self.tracker.wait()).await;
    }

    /// Fills the free slots of both pools.
    async fn dispatch(&mut self) -> Result<(), StoreError> {
        let limits = [(Pool::Deployments, self.parts.limits.deployments), (Pool::Background, self.parts.limits.background)];
        for (pool, limit) in limits {
            let busy = self.lock().values().filter(|running| running.pool == pool).count();
            for job in claim(&self.parts, pool, limit.saturating_sub(busy)).await? {
                self.spawn(job);
            }
        }
        Ok(())
    }

    fn spawn(&self, job: JobRow) {
        let signals = Signals::default();
        let entry = Running { fence: job.fence, pool: job.pool, signals: signals.clone(), beat_at: Instant::now() };
        let (id, fence) = (job.id, job.fence);
        self.lock().insert(id, entry);
        let (running, ended, killed) = (Arc::clone(&self.running), Arc::clone(&self.ended), self.killed.clone());
        let work = execute(Arc::clone(&self.parts), job, signals);
        self.tracker.spawn(async move {
            tokio::select! {
                () = work => {}
                () = killed.cancelled() => return,
            }
            let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
            // The same job may already run here again under the next fence.
            if running.get(&id).is_some_and(|entry| entry.fence == fence) {
                running.remove(&id);
            }
            drop(running);
            ended.notify_one();
        });
    }

    /// Extends the leases of everything that runs here, in one unit.
    async fn beat(&mut self) -> Result<(), StoreError> {
        if self.last_beat.elapsed() < self.parts.limits.heartbeat {
            return Ok(());
        }
        let beating: Vec<(JobId, i64)> = self.lock().iter().map(|(id, running)| (*id, running.fence)).collect();
        if beating.is_empty() {
            return Ok(());
        }
        let lease_until = self.parts.lease_until();
        let now = Instant::now();
        let mut write = self.parts.store.write().await?;
        let mut held = Vec::new();
        for (id, fence) in beating {
            match jobs::heartbeat(&mut write, id, fence, lease_until).await {
                Ok(_) => held.push((id, fence)),
                // Ended by itself a moment ago, or taken over: `drop_lost` tells them apart by time.
                Err(StoreError::Stale { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        write.commit_without_audit("heartbeat of running jobs").await?;
        let mut running = self.lock();
        for (id, fence) in held {
            if let Some(entry) = running.get_mut(&id).filter(|entry| entry.fence == fence) {
                entry.beat_at = now;
            }
        }
        drop(running);
        self.last_beat = now;
        Ok(())
    }

    /// Stops work whose lease has run out (monotonic clock): another worker may be doing it.
    fn drop_lost(&self) {
        let lease = self.parts.limits.lease;
        self.for_each(|running| {
            if running.beat_at.elapsed() >= lease {
                running.signals.abort.cancel();
            }
        });
    }

    async fn see_cancellations(&self) -> Result<(), StoreError> {
        if self.lock().is_empty() {
            return Ok(());
        }
        let wanted = jobs::list_cancel_requested(&mut self.parts.store.read().await?, &self.parts.owner).await?;
        let running = self.lock();
        for id in wanted {
            if let Some(entry) = running.get(&id) {
                entry.signals.cancel.cancel();
            }
        }
        Ok(())
    }

    async fn reclaim(&self) -> Result<(), StoreError> {
        let now = self.parts.clock.now();
        if !jobs::has_expired(&mut self.parts.store.read().await?, now).await? {
            return Ok(());
        }
        let mut write = self.parts.store.write().await?;
        let count = jobs::reclaim_expired(&mut write, now).await?;
        write.commit_without_audit("leases that ran out").await?;
        tracing::warn!(count, "took back {count} jobs whose workers are gone");
        Ok(())
    }

    async fn take_turns(&mut self) -> Result<(), StoreError> {
        self.turns.take(&self.parts).await
    }

    fn for_each(&self, action: impl Fn(&Running)) {
        self.lock().values().for_each(action);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

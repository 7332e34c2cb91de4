use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use domain::id::{Id, JobId, OrganizationId};
use domain::{SeededEntropy, SystemClock, SystemEntropy};
use jobs::{Handler, Handlers, JobError, Lease, Limits, Parts, Runner, run_due};
use serde_json::json;
use store::jobs::{self as queue, JobRow, JobState, NewJob, Pool};
use store::{Store, StoreError};
use testkit::databases::on_both;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Everything polls towards this deadline; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the test's handler saw, and what it is told to do by the payload's `do`.
#[derive(Default)]
struct Seen {
    /// (name, fence) at the begin of each attempt.
    begun: Mutex<Vec<(String, i64)>>,
    ended: Mutex<Vec<String>>,
    given_up: Mutex<Vec<String>>,
    /// Running now, by serial key; the highest number ever.
    running: Mutex<HashMap<String, usize>>,
    overlaps: AtomicUsize,
    /// Lets "wait" jobs go.
    gate: CancellationToken,
}

impl Seen {
    fn begun(&self) -> Vec<String> {
        self.begun.lock().unwrap().iter().map(|(name, _)| name.clone()).collect()
    }
    fn fences(&self) -> Vec<i64> {
        self.begun.lock().unwrap().iter().map(|(_, fence)| *fence).collect()
    }
    fn ended(&self) -> Vec<String> {
        self.ended.lock().unwrap().clone()
    }
}

struct TestHandler {
    store: Store,
    seen: Arc<Seen>,
}

#[async_trait]
impl Handler for TestHandler {
    fn kind(&self) -> &'static str {
        "test"
    }

    async fn run(&self, job: &JobRow, lease: Lease, cancel: CancellationToken) -> Result<(), JobError> {
        let name = job.payload.0["name"].as_str().unwrap().to_owned();
        let key = job.serial_key.clone().unwrap_or_else(|| job.id.to_string());
        self.seen.begun.lock().unwrap().push((name.clone(), lease.fence));
        let others = {
            let mut running = self.seen.running.lock().unwrap();
            let count = running.entry(key.clone()).or_default();
            *count += 1;
            *count
        };
        if others > 1 {
            self.seen.overlaps.fetch_add(1, Ordering::SeqCst);
        }
        let result = match job.payload.0["do"].as_str().unwrap_or("") {
            "wait" => tokio::select! {
                () = self.seen.gate.cancelled() => Ok(()),
                () = cancel.cancelled() => Err(JobError::Canceled),
            },
            // Goes on without looking at anything, as a stuck worker does.
            "stuck" => {
                self.seen.gate.cancelled().await;
                Ok(())
            }
            "stop" => {
                lease.stopping().cancelled().await;
                Err(JobError::Interrupted)
            }
            "retry" => Err(JobError::later(anyhow!("not yet"), Duration::ZERO)),
            "fail" => Err(JobError::fail(anyhow!("never"))),
            "panic" => panic!("as told"),
            _ => {
                tokio::task::yield_now().await;
                Ok(())
            }
        };
        *self.seen.running.lock().unwrap().get_mut(&key).unwrap() -= 1;
        // The outcome under the lease, as every handler writes it.
        let mut write = self.store.write().await?;
        lease.check(&mut write).await?;
        write.commit_without_audit("test").await?;
        if result.is_ok() {
            self.seen.ended.lock().unwrap().push(name);
        }
        result
    }

    async fn give_up(&self, _job: &JobRow, lease: Lease, reason: &str) -> Result<(), JobError> {
        let mut write = self.store.write().await?;
        lease.check(&mut write).await?;
        write.commit_without_audit("test").await?;
        self.seen.given_up.lock().unwrap().push(reason.to_owned());
        Ok(())
    }
}

fn quick() -> Limits {
    Limits {
        deployments: 2,
        background: 8,
        lease: Duration::from_millis(1_500),
        heartbeat: Duration::from_millis(300),
        poll: Duration::from_millis(50),
    }
}

fn parts(store: &Store, seen: &Arc<Seen>, owner: &str, limits: Limits) -> Parts {
    let handler = TestHandler { store: store.clone(), seen: Arc::clone(seen) };
    Parts {
        store: store.clone(),
        handlers: Handlers::default().with(handler),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SeededEntropy::new(1)),
        limits,
        owner: owner.to_owned(),
    }
}

fn job(tenant: u128, name: &str, action: &str) -> NewJob {
    let organization = OrganizationId::from_uuid(uuid::Uuid::from_u128(tenant));
    NewJob::new("test", Some(organization), json!({"name": name, "do": action}))
}

async fn enqueue(store: &Store, jobs: Vec<NewJob>) -> Vec<JobId> {
    let mut write = store.write().await.unwrap();
    let mut ids = Vec::new();
    for job in jobs {
        ids.push(queue::enqueue(&mut write, &SystemClock, &SystemEntropy, job).await.unwrap().id());
    }
    write.commit_without_audit("test").await.unwrap();
    ids
}

async fn state(store: &Store, id: JobId) -> JobState {
    queue::find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap().state
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn outcomes_are_recorded() {
    on_both(async |store| {
        let seen = Arc::new(Seen::default());
        let attempts = |job: NewJob, attempts_max| NewJob { attempts_max, ..job };
        let ids = enqueue(
            store,
            vec![
                job(1, "fine", ""),
                attempts(job(1, "again", "retry"), 3),
                job(1, "never", "fail"),
                attempts(job(1, "bang", "panic"), 1),
                NewJob { deadline: Some(chrono::DateTime::UNIX_EPOCH), ..job(1, "late", "") },
                attempts(NewJob::new("unheard of", None, json!({})), 1),
            ],
        )
        .await;
        let parts = Arc::new(parts(store, &seen, "one", quick()));
        assert_eq!(run_due(&parts).await.unwrap(), 8);
        let mut states = Vec::new();
        for id in &ids {
            states.push(state(store, *id).await);
        }
        use JobState::{Failed, Succeeded};
        assert_eq!(states, [Succeeded, Failed, Failed, Failed, Failed, Failed]);
        assert_eq!(seen.begun.lock().unwrap().iter().filter(|(name, _)| name == "again").count(), 3);
        // The one past its deadline never ran, but what it worked on was ended.
        assert!(!seen.begun().contains(&"late".to_owned()));
        let given_up = seen.given_up.lock().unwrap().clone();
        assert_eq!(given_up.len(), 4, "{given_up:?}");
        let error = queue::find(&mut store.read().await.unwrap(), ids[2]).await.unwrap().unwrap().error;
        assert_eq!(error.as_deref(), Some("never"));
    })
    .await;
}

#[tokio::test]
async fn a_commit_wakes_the_runner_at_once() {
    on_both(async |store| {
        let seen = Arc::new(Seen::default());
        // The poll alone would take an hour.
        let limits = Limits { poll: Duration::from_secs(3_600), ..quick() };
        let runner = Runner::start(parts(store, &seen, "one", limits));
        for name in ["a", "b"] {
            enqueue(store, vec![job(1, name, "")]).await;
            until("it ran", async || seen.ended().contains(&name.to_owned())).await;
        }
        runner.stop(PATIENCE).await;
    })
    .await;
}

#[tokio::test]
async fn a_killed_runner_is_taken_over_and_cannot_write_any_more() {
    on_both(async |store| {
        let seen = Arc::new(Seen::default());
        let id = enqueue(store, vec![job(1, "a", "stuck")]).await[0];
        let killed = Runner::start(parts(store, &seen, "one", quick()));
        until("it began", async || seen.begun().len() == 1).await;
        let old = queue::find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
        drop(killed);
        let next = Runner::start(parts(store, &seen, "two", quick()));
        until("it was taken over", async || seen.begun().len() == 2).await;
        let mut write = store.write().await.unwrap();
        let late = queue::finish(&mut write, id, old.fence, JobState::Failed, None, old.created_at).await;
        assert!(matches!(late, Err(StoreError::Stale { .. })));
        drop(write);
        seen.gate.cancel();
        until("it ended", async || state(store, id).await == JobState::Succeeded).await;
        assert_eq!(seen.fences(), [1, 2]);
        // The killed one's handler was dropped, it never came to its end.
        assert_eq!(seen.ended(), ["a"]);
        next.stop(PATIENCE).await;
    })
    .await;
}

#[tokio::test]
async fn a_long_job_keeps_its_lease() {
    on_both(async |store| {
        let seen = Arc::new(Seen::default());
        let id = enqueue(store, vec![job(1, "long", "wait")]).await[0];
        let one = Runner::start(parts(store, &seen, "one", quick()));
        let other_store = store.reopen().await.unwrap();
        until("it began", async || seen.begun().len() == 1).await;
        let other = Runner::start(parts(&other_store, &seen, "two", quick()));
        // Watched over more than two leases: heartbeats move the end of the lease on.
        let first = queue::find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap().lease_until.unwrap();
        until("the lease moved on", async || {
            let row = queue::find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
            row.lease_until.unwrap() > first + chrono::TimeDelta::milliseconds(3_500)
        })
        .await;
        seen.gate.cancel();
        until("it ended", async || state(store, id).await == JobState::Succeeded).await;
        assert_eq!(seen.fences(), [1]);
        one.stop(PATIENCE).await;
        other.stop(PATIENCE).await;
        other_store.close().await;
    })
    .await;
}

#[tokio::test]
async fn cancelling_reaches_the_running_handler() {
    on_both(async |store| {
        let seen = Arc::new(Seen::default());
        let limits = Limits { poll: Duration::from_secs(3_600), ..quick() };
        let runner = Runner::start(parts(store, &seen, "one", limits));
        let id = enqueue(store, vec![job(1, "a", "wait")]).await[0];
        until("it began", async || seen.begun().len() == 1).await;
        let mut write = store.write().await.unwrap();
        queue::cancel(&mut write, id, chrono::DateTime::UNIX_EPOCH).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        until("it was cancelled", async || state(store, id).await == JobState::Canceled).await;
        runner.stop(PATIENCE).await;
    })
    .await;
}

#[tokio::test]
async fn stopping_gives_unfinished_jobs_back() {
    on_both(async |store| {
        let seen = Arc::new(Seen::default());
        let ids = enqueue(store, vec![job(1, "polite", "stop"), job(1, "stuck", "stuck")]).await;
        let runner = Runner::start(parts(store, &seen, "one", quick()));
        until("both began", async || seen.begun().len() == 2).await;
        runner.stop(Duration::from_millis(200)).await;
        for id in ids {
            let row = queue::find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap();
            assert_eq!((row.state, row.lease_owner, row.attempt), (JobState::Queued, None, 0));
        }
        // Nothing more is claimed.
        enqueue(store, vec![job(1, "later", "")]).await;
        assert_eq!(seen.begun().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn stopping_waits_for_jobs_that_end_in_time() {
    on_both(async |store| {
        let seen = Arc::new(Seen::default());
        let id = enqueue(store, vec![job(1, "a", "wait")]).await[0];
        let runner = Runner::start(parts(store, &seen, "one", quick()));
        until("it began", async || seen.begun().len() == 1).await;
        let stopping = tokio::spawn(runner.stop(PATIENCE));
        seen.gate.cancel();
        stopping.await.unwrap();
        assert_eq!(state(store, id).await, JobState::Succeeded);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_runners_drain_thousands_without_doing_one_twice_at_once() {
    const JOBS: usize = 2_000;
    on_both(async |store| {
        let seen = Arc::new(Seen::default());
        let batch = (0..JOBS)
            .map(|number| NewJob {
                serial_key: (number % 2 == 0).then(|| format!("service-{}", number % 40)),
                pool: if number % 5 == 0 { Pool::Deployments } else { Pool::Background },
                ..job(u128::try_from(number % 7).unwrap(), &number.to_string(), "")
            })
            .collect();
        enqueue(store, batch).await;
        let other = store.reopen().await.unwrap();
        let runners = [
            Runner::start(parts(store, &seen, "one", Limits { lease: PATIENCE, ..quick() })),
            Runner::start(parts(&other, &seen, "two", Limits { lease: PATIENCE, ..quick() })),
        ];
        until("all ended", async || seen.ended.lock().unwrap().len() >= JOBS).await;
        for runner in runners {
            runner.stop(PATIENCE).await;
        }
        other.close().await;
        assert_eq!(seen.overlaps.load(Ordering::SeqCst), 0);
        let mut names = seen.ended();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), JOBS);
        assert_eq!(seen.begun().len(), JOBS);
        // Within each serial key the order of enqueueing was kept.
        let mut last: HashMap<usize, usize> = HashMap::new();
        for name in seen.begun() {
            let number: usize = name.parse().unwrap();
            if number.is_multiple_of(2) {
                let before = last.insert(number % 40, number);
                assert!(before.is_none_or(|before| before < number), "{number} after {before:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_storm_of_one_organization_does_not_starve_another() {
    on_both(async |store| {
        let seen = Arc::new(Seen::default());
        let limits = Limits { background: 1, ..quick() };
        enqueue(store, (0..500).map(|number| job(1, &format!("storm-{number}"), "")).collect()).await;
        let parts = Arc::new(parts(store, &seen, "one", limits));
        // One worker, one at a time: B's three wait for one job of A each, not for five hundred.
        enqueue(store, (0..3).map(|number| job(2, &format!("calm-{number}"), "")).collect()).await;
        run_due(&parts).await.unwrap();
        let begun = seen.begun();
        let last = begun.iter().rposition(|name| name.starts_with("calm")).unwrap();
        assert!(last <= 5, "the last of B ran as number {last}");
        assert_eq!(begun.len(), 503);
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_background_work_does_not_take_deployment_slots() {
    on_both(async |store| {
        let seen = Arc::new(Seen::default());
        enqueue(store, (0..50).map(|number| job(1, &number.to_string(), "wait")).collect()).await;
        let runner = Runner::start(parts(store, &seen, "one", quick()));
        until("the background pool is full", async || seen.begun().len() == 8).await;
        let id = enqueue(store, vec![NewJob { pool: Pool::Deployments, ..job(1, "deploy", "") }]).await[0];
        until("the deployment ran", async || state(store, id).await == JobState::Succeeded).await;
        assert_eq!(seen.begun().len(), 9);
        seen.gate.cancel();
        runner.stop(PATIENCE).await;
    })
    .await;
}

#[tokio::test]
async fn what_recurs_is_enqueued_by_one_of_many() {
    on_both(async |store| {
        let seen = Arc::new(Seen::default());
        let other = store.reopen().await.unwrap();
        let start = |store: &Store, owner| {
            let mut parts = parts(store, &seen, owner, quick());
            parts.handlers = parts.handlers.every("test", Duration::from_secs(3_600));
            Runner::start(parts)
        };
        // The handler of this test wants a name, so these fail at once; what counts is how many there are.
        let runners = [start(store, "one"), start(&other, "two")];
        let count = async || {
            let mut read = store.read().await.unwrap();
            let mut sum = 0;
            for state in [JobState::Queued, JobState::Running, JobState::Failed, JobState::Succeeded] {
                sum += queue::count(&mut read, Pool::Background, state).await.unwrap();
            }
            sum
        };
        until("one was enqueued", async || count().await > 0).await;
        for runner in runners {
            runner.stop(Duration::ZERO).await;
        }
        assert_eq!(count().await, 1);
        assert!(queue::next_turn(&mut store.read().await.unwrap(), "test").await.unwrap().is_some());
        other.close().await;
    })
    .await;
}

/// An idle runner only looks: SQLite's data version, as another connection sees it, does not change.
#[tokio::test]
async fn an_idle_runner_writes_nothing_and_costs_little() {
    let store = testkit::databases::TestStore::sqlite().await.unwrap();
    let seen = Arc::new(Seen::default());
    let runner = Runner::start(parts(&store, &seen, "one", Limits { poll: Duration::from_millis(2), ..quick() }));
    let wal = std::path::PathBuf::from(format!("{}-wal", store.url().strip_prefix("sqlite:").unwrap()));
    let written = || std::fs::metadata(&wal).map(|meta| (meta.len(), meta.modified().unwrap())).ok();
    let before = written();
    let start = Instant::now();
    // A few hundred polls.
    until("time has passed", async || start.elapsed() > Duration::from_secs(1)).await;
    assert_eq!(written(), before);
    runner.stop(PATIENCE).await;
}

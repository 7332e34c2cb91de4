//! The queue's rows: order, fairness, fences, uniqueness, turns.

use chrono::TimeDelta;
use domain::id::{Id, JobId, OrganizationId};
use domain::{Clock, FixedClock, SeededEntropy};
use serde_json::json;
use store::jobs::{self, Cancel, Claimer, Enqueued, JobRow, JobState, NewJob, Pool};
use store::{Store, StoreError};
use testkit::databases::on_both;

struct World {
    clock: FixedClock,
    entropy: SeededEntropy,
}

impl World {
    fn new() -> Self {
        Self { clock: FixedClock::default(), entropy: SeededEntropy::new(1) }
    }

    async fn enqueue(&self, store: &Store, job: NewJob) -> Enqueued {
        let mut write = store.write().await.unwrap();
        let enqueued = jobs::enqueue(&mut write, &self.clock, &self.entropy, job).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        self.clock.advance(TimeDelta::milliseconds(1));
        enqueued
    }

    async fn claim(&self, store: &Store, count: usize) -> Vec<JobRow> {
        let mut write = store.write().await.unwrap();
        let claimer = Claimer { owner: "worker", lease_until: self.clock.now() + TimeDelta::seconds(10) };
        let claimed = jobs::claim(&mut write, Pool::Background, &claimer, self.clock.now(), count).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        self.clock.advance(TimeDelta::milliseconds(1));
        claimed
    }

    async fn finish(&self, store: &Store, job: &JobRow) -> Result<(), StoreError> {
        let mut write = store.write().await.unwrap();
        jobs::finish(&mut write, job.id, job.fence, JobState::Succeeded, None, self.clock.now()).await?;
        write.commit_without_audit("test").await
    }
}

fn organization(number: u128) -> OrganizationId {
    OrganizationId::from_uuid(uuid::Uuid::from_u128(number))
}

fn job(tenant: u128, name: &str) -> NewJob {
    NewJob::new("test", Some(organization(tenant)), json!({ "name": name }))
}

fn serial(tenant: u128, name: &str, key: &str) -> NewJob {
    NewJob { serial_key: Some(key.to_owned()), ..job(tenant, name) }
}

fn names(jobs: &[JobRow]) -> Vec<&str> {
    jobs.iter().map(|job| job.payload.0["name"].as_str().unwrap()).collect()
}

async fn get(store: &Store, id: JobId) -> JobRow {
    jobs::find(&mut store.read().await.unwrap(), id).await.unwrap().unwrap()
}

#[tokio::test]
async fn claims_take_turns_between_organizations() {
    on_both(async |store| {
        let world = World::new();
        for name in ["a1", "a2", "a3", "a4"] {
            world.enqueue(store, job(1, name)).await;
        }
        for name in ["b1", "b2"] {
            world.enqueue(store, job(2, name)).await;
        }
        world.enqueue(store, NewJob::new("test", None, json!({"name": "i1"}))).await;
        // Fewest running first, then longest not served.
        assert_eq!(names(&world.claim(store, 5).await), ["i1", "a1", "b1", "a2", "b2"]);
        assert_eq!(names(&world.claim(store, 5).await), ["a3", "a4"]);
        // All of A's are running: the new one of B goes first although A's is older.
        world.enqueue(store, job(1, "a5")).await;
        world.enqueue(store, job(2, "b3")).await;
        assert_eq!(names(&world.claim(store, 1).await), ["b3"]);
    })
    .await;
}

#[tokio::test]
async fn one_serial_key_runs_one_at_a_time_in_order() {
    on_both(async |store| {
        let world = World::new();
        for (name, key) in [("x1", "x"), ("x2", "x"), ("y1", "y"), ("x3", "x")] {
            world.enqueue(store, serial(1, name, key)).await;
        }
        let first = world.claim(store, 10).await;
        assert_eq!(names(&first), ["x1", "y1"]);
        assert!(world.claim(store, 10).await.is_empty());
        // A retry keeps its place: x2 does not overtake x1.
        let mut write = store.write().await.unwrap();
        let later = world.clock.now() + TimeDelta::seconds(5);
        jobs::retry(&mut write, first[0].id, first[0].fence, "not yet", later).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        assert!(world.claim(store, 10).await.is_empty());
        world.clock.advance(TimeDelta::seconds(5));
        let again = world.claim(store, 10).await;
        assert_eq!(names(&again), ["x1"]);
        assert_eq!((again[0].attempt, again[0].fence), (1, 2));
        world.finish(store, &again[0]).await.unwrap();
        assert_eq!(names(&world.claim(store, 10).await), ["x2"]);
    })
    .await;
}

#[tokio::test]
async fn priority_and_time_are_kept() {
    on_both(async |store| {
        let world = World::new();
        world.enqueue(store, job(1, "normal")).await;
        world.enqueue(store, NewJob { priority: 5, ..job(1, "urgent") }).await;
        let run_at = Some(world.clock.now() + TimeDelta::seconds(60));
        world.enqueue(store, NewJob { run_at, priority: 9, ..job(1, "later") }).await;
        world.enqueue(store, NewJob { pool: Pool::Deployments, ..job(1, "other pool") }).await;
        assert_eq!(names(&world.claim(store, 10).await), ["urgent", "normal"]);
        let due = async || jobs::is_due(&mut store.read().await.unwrap(), Pool::Background, world.clock.now()).await.unwrap();
        assert!(!due().await);
        world.clock.advance(TimeDelta::seconds(60));
        assert!(due().await);
        assert_eq!(names(&world.claim(store, 10).await), ["later"]);
    })
    .await;
}

#[tokio::test]
async fn a_unique_key_holds_until_the_job_is_over() {
    on_both(async |store| {
        let world = World::new();
        let unique = || NewJob { unique_key: Some("once".to_owned()), ..job(1, "once") };
        let first = world.enqueue(store, unique()).await;
        assert!(matches!(first, Enqueued::New(_)));
        assert_eq!(world.enqueue(store, unique()).await, Enqueued::Existing(first.id()));
        let running = world.claim(store, 1).await;
        assert_eq!(world.enqueue(store, unique()).await, Enqueued::Existing(first.id()));
        world.finish(store, &running[0]).await.unwrap();
        assert!(matches!(world.enqueue(store, unique()).await, Enqueued::New(_)));
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_lost_its_lease_cannot_write() {
    on_both(async |store| {
        let world = World::new();
        world.enqueue(store, job(1, "a")).await;
        let old = world.claim(store, 1).await.remove(0);
        assert!(!jobs::has_expired(&mut store.read().await.unwrap(), world.clock.now()).await.unwrap());
        world.clock.advance(TimeDelta::seconds(11));
        assert!(jobs::has_expired(&mut store.read().await.unwrap(), world.clock.now()).await.unwrap());
        let mut write = store.write().await.unwrap();
        assert_eq!(jobs::reclaim_expired(&mut write, world.clock.now()).await.unwrap(), 1);
        write.commit_without_audit("test").await.unwrap();
        // Put back but not yet taken, the old one is stale already.
        assert!(matches!(world.finish(store, &old).await, Err(StoreError::Stale { .. })));
        let new = world.claim(store, 1).await.remove(0);
        assert_eq!((new.id, new.fence, new.claims_lost()), (old.id, old.fence + 1, 1));
        let mut write = store.write().await.unwrap();
        let now = world.clock.now();
        assert!(matches!(jobs::check_fence(&mut write, old.id, old.fence).await, Err(StoreError::Stale { .. })));
        assert!(matches!(jobs::heartbeat(&mut write, old.id, old.fence, now).await, Err(StoreError::Stale { .. })));
        assert!(matches!(jobs::retry(&mut write, old.id, old.fence, "", now).await, Err(StoreError::Stale { .. })));
        assert!(matches!(jobs::release(&mut write, old.id, old.fence).await, Err(StoreError::Stale { .. })));
        jobs::check_fence(&mut write, new.id, new.fence).await.unwrap();
        assert!(!jobs::heartbeat(&mut write, new.id, new.fence, now).await.unwrap());
        drop(write);
        world.finish(store, &new).await.unwrap();
        assert_eq!(get(store, new.id).await.state, JobState::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn the_only_process_takes_over_at_once() {
    on_both(async |store| {
        let world = World::new();
        world.enqueue(store, job(1, "a")).await;
        world.claim(store, 1).await;
        let mut write = store.write().await.unwrap();
        assert_eq!(jobs::reclaim_previous_owner(&mut write, "worker").await.unwrap(), 0);
        assert_eq!(jobs::reclaim_previous_owner(&mut write, "next worker").await.unwrap(), 1);
        write.commit_without_audit("test").await.unwrap();
        assert_eq!(world.claim(store, 1).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn cancelling_depends_on_whether_it_has_started() {
    on_both(async |store| {
        let world = World::new();
        let queued = world.enqueue(store, job(1, "queued")).await.id();
        let cancel = async |id| {
            let mut write = store.write().await.unwrap();
            let cancel = jobs::cancel(&mut write, id, world.clock.now()).await.unwrap();
            write.commit_without_audit("test").await.unwrap();
            cancel
        };
        assert_eq!(cancel(queued).await, Cancel::Canceled);
        assert_eq!(get(store, queued).await.state, JobState::Canceled);
        assert_eq!(cancel(queued).await, Cancel::Finished);
        world.enqueue(store, job(1, "running")).await;
        let running = world.claim(store, 1).await.remove(0);
        assert_eq!(cancel(running.id).await, Cancel::Requested);
        let wanted = jobs::list_cancel_requested(&mut store.read().await.unwrap(), "worker").await.unwrap();
        assert_eq!(wanted, [running.id]);
        let mut write = store.write().await.unwrap();
        assert!(jobs::heartbeat(&mut write, running.id, running.fence, world.clock.now()).await.unwrap());
        // Waiting for a retry, it has to run once more, at once, so that its handler can undo.
        let later = world.clock.now() + TimeDelta::hours(1);
        jobs::retry(&mut write, running.id, running.fence, "", later).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        assert!(world.claim(store, 1).await.is_empty());
        assert_eq!(cancel(running.id).await, Cancel::Requested);
        assert_eq!(world.claim(store, 1).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_turn_is_taken_once() {
    on_both(async |store| {
        let world = World::new();
        let period = TimeDelta::seconds(60);
        let take = async || {
            let mut write = store.write().await.unwrap();
            let taken = jobs::take_turn(&mut write, "sweep", world.clock.now(), world.clock.now() + period).await.unwrap();
            write.commit_without_audit("test").await.unwrap();
            taken
        };
        assert!(take().await);
        assert!(!take().await);
        world.clock.advance(period);
        assert!(take().await);
        let next = jobs::next_turn(&mut store.read().await.unwrap(), "sweep").await.unwrap();
        assert_eq!(next, Some(world.clock.now() + period));
        // The clock goes back by a day: the turn is not put off by a day.
        world.clock.advance(TimeDelta::days(-1));
        assert!(take().await);
    })
    .await;
}

#[tokio::test]
async fn finished_jobs_are_deleted_and_errors_shortened() {
    on_both(async |store| {
        let world = World::new();
        world.enqueue(store, job(1, "a")).await;
        world.enqueue(store, job(1, "b")).await;
        let job = world.claim(store, 1).await.remove(0);
        let mut write = store.write().await.unwrap();
        let error = "ü".repeat(10_000);
        jobs::finish(&mut write, job.id, job.fence, JobState::Failed, Some(&error), world.clock.now()).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        assert_eq!(get(store, job.id).await.error.unwrap().chars().count(), 2_000);
        world.clock.advance(TimeDelta::seconds(1));
        let mut write = store.write().await.unwrap();
        assert_eq!(jobs::delete_finished(&mut write, world.clock.now()).await.unwrap(), 1);
        write.commit_without_audit("test").await.unwrap();
        assert_eq!(jobs::count(&mut store.read().await.unwrap(), Pool::Background, JobState::Queued).await.unwrap(), 1);
    })
    .await;
}

/// Two processes claim as fast as they can: no job twice, no two of one serial key.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_claimers_never_share_a_job() {
    on_both(async |store| {
        let world = World::new();
        for number in 0..60 {
            world.enqueue(store, serial(number % 3, "n", &format!("key-{}", number % 10))).await;
        }
        let now = world.clock.now();
        let mut tasks = tokio::task::JoinSet::new();
        for owner in ["one", "two", "three"] {
            let store = store.reopen().await.unwrap();
            tasks.spawn(async move {
                let mut seen = Vec::new();
                // Each round takes some and ends them.
                for _ in 0..200 {
                    let mut write = store.write().await.unwrap();
                    let claimer = Claimer { owner, lease_until: now + TimeDelta::seconds(10) };
                    let claimed = jobs::claim(&mut write, Pool::Background, &claimer, now, 4).await.unwrap();
                    write.commit_without_audit("test").await.unwrap();
                    for job in claimed {
                        let mut write = store.write().await.unwrap();
                        jobs::finish(&mut write, job.id, job.fence, JobState::Succeeded, None, now).await.unwrap();
                        write.commit_without_audit("test").await.unwrap();
                        seen.push(job.id);
                    }
                    if jobs::count(&mut store.read().await.unwrap(), Pool::Background, JobState::Succeeded).await.unwrap() == 60 {
                        break;
                    }
                }
                store.close().await;
                seen
            });
        }
        let mut all: Vec<JobId> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(all.len(), 60);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 60);
    })
    .await;
}

//! `kill -9` between intent and effect, and between effect and outcome, at every step: the same end as without it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use control::deployments::{Faults, Moment};
use domain::deployment::{Phase, Step};
use testkit::databases::{TestStore, on_both};
use tokio::task::AbortHandle;

use crate::world::World;

/// Ends the process at one moment, once: its task is never polled again, so that nothing is cleaned up or recorded.
struct Kill {
    at: (Step, Moment),
    victim: Mutex<Option<AbortHandle>>,
    struck: AtomicBool,
}

impl Faults for Kill {
    fn at(&self, step: Step, moment: Moment) {
        if self.at == (step, moment) && !self.struck.swap(true, Ordering::SeqCst) {
            self.victim.lock().unwrap().as_ref().unwrap().abort();
            panic!("killed at {step:?} {moment:?}, as told");
        }
    }
}

impl Kill {
    fn new(step: Step, moment: Moment) -> Arc<Self> {
        Arc::new(Self { at: (step, moment), victim: Mutex::default(), struck: AtomicBool::new(false) })
    }

    /// Works until killed.
    async fn strike(&self, world: &World) {
        let parts = Arc::clone(&world.parts);
        let start = Arc::new(tokio::sync::Notify::new());
        let go = Arc::clone(&start);
        let task = tokio::spawn(async move {
            go.notified().await;
            jobs::run_due(&parts).await
        });
        *self.victim.lock().unwrap() = Some(task.abort_handle());
        start.notify_one();
        let end = task.await;
        assert!(self.struck.load(Ordering::SeqCst), "the deployment never came to {:?}", self.at);
        assert!(end.unwrap_err().is_cancelled());
    }
}

async fn prepared(store: &TestStore, kill: Arc<Kill>) -> World {
    let world = World::with(store, kill).await;
    world
        .configure(|configuration| {
            configuration.release_command = Some(vec!["migrate".into()]);
            configuration.post_deploy_command = Some(vec!["notify".into()]);
        })
        .await;
    world.reborn().deploy().await;
    world
}

/// Runs the test on an empty store per moment.
async fn at_every_moment(test: impl AsyncFn(&TestStore, Step, Moment)) {
    for step in Step::ALL {
        for moment in [Moment::AfterIntent, Moment::BeforeOutcome] {
            on_both(async |store| test(store, step, moment).await).await;
        }
    }
}

#[tokio::test]
async fn a_killed_deployment_ends_as_if_it_had_not_been() {
    at_every_moment(async |store, step, moment| {
        let kill = Kill::new(step, moment);
        let world = prepared(store, Arc::clone(&kill)).await;
        let asked = world.ask().await;
        let after = world.ask_rollback_behind().await;
        kill.strike(&world).await;
        drop(kill);
        let world = world.reborn();
        world.reclaim().await;
        world.work().await;
        let context = format!("killed at {step:?} {moment:?}");
        let ended = world.deployment(asked.id).await;
        assert_eq!((ended.phase, ended.version, &ended.failure, &ended.warning), (Phase::Live, Some(2), &None, &None), "{context}");
        assert_eq!(world.unfinished_steps(asked.id).await, Default::default(), "{context}");
        // What waited behind it came after it.
        let second = world.deployment(after).await;
        assert_eq!((second.phase, second.version), (Phase::Live, Some(3)), "{context}: {:?}", second.failure);
        assert_eq!(world.server.switches(world.service), [1, 2, 3], "{context}");
        assert_eq!((world.releases().await.len(), world.current().await), (3, Some(3)), "{context}");
        assert_eq!(world.server.left_behind(world.service), None, "{context}");
        // One migration and one notice per build: nothing ran twice.
        let commands = |name: &str| world.server.calls().iter().filter(|call| call.ends_with(name)).count();
        assert_eq!((commands("migrate"), commands("notify")), (2, 2), "{context}");
        let stream = deployer::protocol::LogStream::Deployment(asked.id);
        assert_eq!(world.server.logs().ended(stream).as_deref(), Some("live"), "{context}");
    })
    .await;
}

/// Asked to cancel while its worker is dead: what had begun to serve goes on to its end, everything else is taken back.
#[tokio::test]
async fn a_cancel_after_a_kill_takes_back_all_or_nothing() {
    at_every_moment(async |store, step, moment| {
        let kill = Kill::new(step, moment);
        let world = prepared(store, Arc::clone(&kill)).await;
        let asked = world.ask().await;
        kill.strike(&world).await;
        let world = world.reborn();
        let canceled = world.cancel(asked.id).await;
        world.reclaim().await;
        world.work().await;
        let context = format!("killed at {step:?} {moment:?}");
        let ended = world.deployment(asked.id).await;
        let served = world.server.switches(world.service);
        match ended.phase {
            Phase::Canceled => {
                assert!(canceled.is_ok(), "{context}");
                // The routes may have been switched a moment before the death: then the one before serves again or the
                // sweeper sees to it; the control plane never believes what it did not see.
                assert_eq!(world.current().await, Some(1), "{context}");
                assert!(step <= Step::Switch, "{context}: canceled although it served");
            }
            Phase::Live => {
                assert_eq!((world.current().await, served.last()), (Some(2), Some(&2)), "{context}");
                assert!(step >= Step::Switch, "{context}: went on although canceled");
            }
            other => panic!("{context}: ended {other:?} {:?}", ended.failure),
        }
    })
    .await;
}

#[tokio::test]
async fn a_deployment_whose_workers_always_die_ends_with_a_reason() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        let asked = world.ask().await;
        for _ in 0..25 {
            let now = world.tick();
            let mut write = world.store.write().await.unwrap();
            let claimer = store::jobs::Claimer { owner: "dies", lease_until: now };
            let claimed = store::jobs::claim(&mut write, store::jobs::Pool::Deployments, &claimer, now, 1).await.unwrap();
            assert_eq!(claimed.len(), 1);
            write.commit_without_audit("test").await.unwrap();
            world.reclaim().await;
        }
        world.work().await;
        let failed = world.deployment(asked.id).await;
        let failure = failed.failure.unwrap();
        assert_eq!((failed.phase, failure.cause), (Phase::Failed, domain::deployment::Cause::WorkerLost));
        assert!(failure.message.contains("workers were lost"), "{}", failure.message);
        assert_eq!(world.current().await, Some(1));
        assert_eq!(world.deploy().await.phase, Phase::Live);
    })
    .await;
}

impl World {
    /// A rollback that waits behind what was asked for before.
    async fn ask_rollback_behind(&self) -> domain::id::DeploymentId {
        self.rollback(1).await.unwrap().id
    }
}

//! Bursts, order and cancels.

use std::time::Duration;

use deployer::protocol::LogStream;
use domain::deployment::{Phase, SkipReason, Step};
use testkit::databases::on_both;

use crate::world::{World, eventually};

const GRACE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn one_request_is_taken_in_once() {
    on_both(async |store| {
        let world = World::new(store).await;
        let actor = world.actor();
        let first = world.control.create_deployment(&actor, Default::default()).await.unwrap();
        let again = world.control.create_deployment(&actor, Default::default()).await.unwrap();
        assert_eq!(first.id, again.id);
        world.work().await;
        assert_eq!((world.deployments().await.len(), world.releases().await.len()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn the_same_request_at_the_same_time_is_taken_in_once() {
    on_both(async |store| {
        let world = World::new(store).await;
        let actor = world.actor();
        let asks = (0..8).map(|_| world.control.create_deployment(&actor, Default::default()));
        let ids: Vec<_> = futures_util::future::join_all(asks).await.into_iter().map(|asked| asked.unwrap().id).collect();
        assert!(ids.iter().all(|id| *id == ids[0]));
        assert_eq!(world.deployments().await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_burst_ends_with_the_newest_and_every_one_has_an_end() {
    on_both(async |store| {
        let world = World::new(store).await;
        for _ in 0..20 {
            world.ask().await;
        }
        world.work().await;
        let rows = world.deployments().await;
        assert_eq!(rows.len(), 20);
        for pair in rows.windows(2) {
            let (row, newer) = (&pair[0], &pair[1]);
            assert_eq!((row.phase, row.skip_reason, row.superseded_by), (Phase::Skipped, Some(SkipReason::Superseded), Some(newer.id)));
            assert!(row.finished_at.is_some());
            assert_eq!(world.server.logs().ended(LogStream::Deployment(row.id)).as_deref(), Some("skipped"));
        }
        assert_eq!((rows[19].phase, world.releases().await.len(), world.server.count("build")), (Phase::Live, 1, 1));
    })
    .await;
}

/// The one that is being built is not thrown away; of those behind it the newest counts.
#[tokio::test]
async fn a_burst_behind_a_running_deployment() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.server.hold(Step::Build);
        let runner = world.runner();
        let first = world.ask().await;
        eventually("the build runs", async || world.server.waits_at(Step::Build)).await;
        for _ in 0..5 {
            world.ask().await;
        }
        world.server.release(Step::Build);
        eventually("all ended", async || world.deployments().await.iter().all(|row| row.finished_at.is_some())).await;
        runner.stop(GRACE).await;
        let phases: Vec<Phase> = world.deployments().await.iter().map(|row| row.phase).collect();
        assert_eq!(phases, [Phase::Live, Phase::Skipped, Phase::Skipped, Phase::Skipped, Phase::Skipped, Phase::Live]);
        assert_eq!(world.deployment(first.id).await.version, Some(1));
        assert_eq!(world.server.switches(world.service), [1, 2]);
    })
    .await;
}

#[tokio::test]
async fn too_many_that_wait_are_refused() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        // Rollbacks say exactly what they want: none replaces another.
        for _ in 0..50 {
            world.rollback(1).await.unwrap();
        }
        let refused = world.rollback(1).await.unwrap_err();
        assert!(matches!(refused, control::ControlError::Limit { max: 50, .. }), "{refused:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[expect(clippy::large_futures, reason = "a story told at once")]
async fn concurrent_changes_have_the_result_of_some_serial_order() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        let runner = world.runner();
        let (deploy, rollback, scale, restart, other) = (world.actor(), world.actor(), world.actor(), world.actor(), world.actor());
        let two = contract::deployments::Scale { processes: [("web".to_owned(), 2)].into() };
        let back = contract::deployments::CreateRollback { version: Some(1), force: false };
        let asked = tokio::join!(
            world.control.create_deployment(&deploy, Default::default()),
            world.control.create_rollback(&rollback, back),
            world.control.scale_service(&scale, two),
            world.control.restart_service(&restart),
            world.control.create_deployment(&other, Default::default()),
        );
        let ids = [asked.0.unwrap().id, asked.1.unwrap().id, asked.2.unwrap().id, asked.3.unwrap().id, asked.4.unwrap().id];
        // Too late or in time: both are fine, something between is not.
        let canceled = world.cancel(ids[2]).await.is_ok();
        eventually("all ended", async || world.deployments().await.iter().all(|row| row.finished_at.is_some())).await;
        runner.stop(GRACE).await;
        let rows = world.deployments().await;
        assert!(rows.iter().all(|row| matches!(row.phase, Phase::Live | Phase::Skipped | Phase::Canceled)), "{rows:#?}");
        assert_eq!(rows.iter().find(|row| row.id == ids[1]).unwrap().phase, Phase::Live, "a rollback is never replaced");
        if rows.iter().any(|row| row.phase == Phase::Canceled) {
            assert!(canceled);
        }
        // What serves is what the newest that went live made, versions only rise, and both halves agree.
        let switches = world.server.switches(world.service);
        assert!(switches.windows(2).all(|pair| pair[0] < pair[1]), "{switches:?}");
        assert_eq!(world.current().await, switches.last().map(|version| i64::try_from(*version).unwrap()));
        let served = world.releases().await.into_iter().filter(|release| release.served_at.is_some()).count();
        assert_eq!(served, switches.len());
        let mut read = world.store.read().await.unwrap();
        let chain = store::audit::Chain::Organization(world.organization);
        assert!(matches!(store::audit::verify(&mut read, chain, None).await.unwrap(), store::audit::Verdict::Intact { .. }));
    })
    .await;
}

#[tokio::test]
async fn cancel_of_one_that_waits_ends_at_once() {
    on_both(async |store| {
        let world = World::new(store).await;
        let asked = world.ask().await;
        let canceled = world.cancel(asked.id).await.unwrap();
        assert_eq!((canceled.phase, canceled.canceled_by.as_deref()), (Phase::Canceled, Some("Ada")));
        world.work().await;
        assert_eq!(world.server.count("build"), 0);
        assert_eq!(world.server.logs().ended(LogStream::Deployment(asked.id)).as_deref(), Some("canceled"));
        let refused = world.cancel(asked.id).await.unwrap_err();
        assert!(matches!(refused, control::ControlError::Refused { code: contract::Code::Conflict, .. }), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn cancel_at_every_step_before_the_switch_leaves_what_serves() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.configure(|configuration| configuration.release_command = Some(vec!["migrate".into()])).await;
        world.deploy().await;
        let runner = world.runner();
        for step in [Step::Fetch, Step::Build, Step::ReleaseCommand, Step::Create, Step::Start, Step::Health, Step::Switch] {
            world.server.hold(step);
            let asked = world.ask().await;
            eventually("it waits there", async || world.server.waits_at(step)).await;
            world.cancel(asked.id).await.unwrap();
            eventually("it ended", async || world.deployment(asked.id).await.finished_at.is_some()).await;
            world.server.release(step);
            let ended = world.deployment(asked.id).await;
            assert_eq!((ended.phase, ended.canceled_by.as_deref()), (Phase::Canceled, Some("Ada")), "{step:?}");
            assert_eq!((world.current().await, world.server.left_behind(world.service)), (Some(1), None), "{step:?}");
            assert_eq!(world.server.switches(world.service), [1], "{step:?}");
        }
        // From the switch on there is nothing to cancel.
        world.server.hold(Step::Drain);
        let asked = world.ask().await;
        eventually("it drains", async || world.server.waits_at(Step::Drain)).await;
        assert_eq!(world.deployment(asked.id).await.phase, Phase::Live);
        assert!(world.cancel(asked.id).await.is_err());
        world.server.release(Step::Drain);
        eventually("it ended", async || world.deployment(asked.id).await.finished_at.is_some()).await;
        assert_eq!(world.deployment(asked.id).await.phase, Phase::Live);
        runner.stop(GRACE).await;
    })
    .await;
}

/// Asked for while a deployment runs, a stop comes after it and is not forgotten.
#[tokio::test]
async fn a_stop_behind_a_deployment_stops() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.server.hold(Step::Health);
        let runner = world.runner();
        let asked = world.ask().await;
        eventually("it waits", async || world.server.waits_at(Step::Health)).await;
        world.control.stop_service(&world.actor()).await.unwrap();
        world.server.release(Step::Health);
        eventually("stopped", async || world.server.count("stop") == 1).await;
        runner.stop(GRACE).await;
        assert_eq!(world.deployment(asked.id).await.phase, Phase::Live);
        assert!(world.service_row().await.stopped);
    })
    .await;
}

/// Stopped in order, it goes on where it was; nothing is built twice.
#[tokio::test]
async fn an_ordered_shutdown_hands_the_deployment_on() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.server.hold(Step::Health);
        let runner = world.runner();
        let asked = world.ask().await;
        eventually("it waits", async || world.server.waits_at(Step::Health)).await;
        runner.stop(GRACE).await;
        assert!(!world.deployment(asked.id).await.phase.is_end());
        world.server.release(Step::Health);
        let world = world.reborn();
        world.work().await;
        let live = world.deployment(asked.id).await;
        assert_eq!((live.phase, live.version), (Phase::Live, Some(1)));
        assert_eq!((world.server.count("build"), world.releases().await.len()), (1, 1));
    })
    .await;
}

/// The clock of the machine is set back between two requests: they still run in the order in which they were asked for.
#[tokio::test]
async fn a_clock_that_goes_back_does_not_turn_the_order_round() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        world.deploy().await;
        let first = world.rollback(1).await.unwrap();
        world.clock.advance(chrono::TimeDelta::hours(-1));
        let second = world.rollback(2).await.unwrap();
        world.clock.advance(chrono::TimeDelta::hours(2));
        world.work().await;
        let (first, second) = (world.deployment(first.id).await, world.deployment(second.id).await);
        assert_eq!((first.phase, first.version, second.phase, second.version), (Phase::Live, Some(3), Phase::Live, Some(4)));
        assert_eq!(world.server.switches(world.service), [1, 2, 3, 4]);
    })
    .await;
}

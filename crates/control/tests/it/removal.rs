//! The sweep, the teardown and one-off commands.

use std::collections::BTreeSet;
use std::time::Duration;

use contract::runs::CreateRun;
use control::running::teardown;
use deployer::protocol::{LogStream, RunEnd, SweepMode};
use domain::deployment::{Cause, Phase, Step};
use domain::id::{Id, RunId};
use serde_json::json;
use store::jobs::{NewJob, Pool};
use store::runs::RunState;
use testkit::databases::on_both;
use testkit::scripted::ScriptedServer;

use crate::world::{World, eventually};

#[tokio::test]
async fn the_sweep_brings_back_what_is_missing_and_does_not_hammer() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        world.control.sweep(SweepMode::Act).await.unwrap();
        assert_eq!(world.deployments().await.len(), 1, "nothing is missing");
        world.server.lose(world.service);
        let report = world.control.sweep(SweepMode::Simulate).await.unwrap();
        assert_eq!((report.missing.as_slice(), world.deployments().await.len()), ([world.service].as_slice(), 1));
        world.tick();
        world.control.sweep(SweepMode::Act).await.unwrap();
        world.control.sweep(SweepMode::Act).await.unwrap();
        assert_eq!(world.deployments().await.len(), 2, "one repair at a time");
        let open: Vec<_> = world.server.intended().unwrap().deployments;
        assert_eq!(open, [world.deployments().await[1].id], "what is under way is left alone");
        world.work().await;
        assert_eq!((world.server.serving(world.service).unwrap().version, world.releases().await.len()), (1, 1));
        // A repair that fails is tried again after a pause, not every minute.
        world.server.lose(world.service);
        world.server.fail_at(Step::Create, Cause::Engine);
        world.tick();
        world.control.sweep(SweepMode::Act).await.unwrap();
        jobs::run_due(&world.parts).await.unwrap();
        assert_eq!(world.deployments().await[2].phase, Phase::Failed);
        world.tick();
        world.control.sweep(SweepMode::Act).await.unwrap();
        assert_eq!(world.deployments().await.len(), 3);
        world.clock.advance(chrono::TimeDelta::minutes(16));
        world.control.sweep(SweepMode::Act).await.unwrap();
        world.work().await;
        assert_eq!(world.deployments().await[3].phase, Phase::Live);
        // Stopped by hand is not missing.
        world.control.stop_service(&world.actor()).await.unwrap();
        world.work().await;
        world.server.lose(world.service);
        assert!(world.control.sweep(SweepMode::Act).await.unwrap().missing.is_empty());
    })
    .await;
}

fn teardown_of(world: &World) -> NewJob {
    NewJob {
        pool: Pool::Deployments,
        serial_key: Some(format!("service/{}", world.service)),
        attempts_max: 100,
        ..NewJob::new(
            teardown::KIND,
            Some(world.organization),
            json!({ "organization": world.organization, "service": world.service, "volumes": [] }),
        )
    }
}

#[tokio::test]
async fn a_teardown_leaves_nothing() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.variable("COLOR", "blue").await;
        world.domain("shop.example").await;
        world.deploy().await;
        let run = world.control.create_run(&world.actor(), CreateRun { command: vec!["ls".into()], timeout_seconds: None }).await.unwrap();
        world.work().await;
        let streams: Vec<LogStream> = world
            .deployments()
            .await
            .iter()
            .map(|row| LogStream::Deployment(row.id))
            .chain([LogStream::Run(run.id), LogStream::Service(world.service)])
            .collect();
        world.server.logs().line(LogStream::Service(world.service), "hello");
        assert!(streams.iter().all(|stream| world.server.logs().is_kept(*stream)));
        // The server could not remove everything: the rows stay until it can.
        world.server.leave(&["network busy"]);
        world.enqueue(teardown_of(&world)).await;
        jobs::run_due(&world.parts).await.unwrap();
        assert_eq!(world.deployments().await.len(), 1);
        world.server.leave(&[]);
        world.work().await;
        assert!(world.server.serving(world.service).is_none());
        assert!(!streams.iter().any(|stream| world.server.logs().is_kept(*stream)));
        let mut read = world.store.read().await.unwrap();
        assert!(store::services::find_any(&mut read, world.service).await.unwrap().is_none());
        assert!(store::runs::find_any(&mut read, run.id).await.unwrap().is_none());
        assert!(world.deployments().await.is_empty() && world.releases().await.is_empty());
        assert!(store::domains::all_of_service(&mut read, world.organization, world.service).await.unwrap().is_empty());
        let scope = (store::variables::ScopeKind::Service, world.service.uuid());
        assert!(store::variables::all_of_scope(&mut read, world.organization, scope.0, scope.1).await.unwrap().is_empty());
    })
    .await;
}

async fn run(world: &World) -> RunId {
    let wanted = CreateRun { command: vec!["task".into(), "--all".into()], timeout_seconds: Some(60) };
    world.control.create_run(&world.actor(), wanted).await.unwrap().id
}

#[tokio::test]
async fn runs_end_with_their_exit_code() {
    on_both(async |store| {
        let world = World::new(store).await;
        let wanted = CreateRun { command: vec!["ls".into()], timeout_seconds: None };
        assert!(world.control.create_run(&world.actor(), wanted).await.is_err(), "no release yet");
        world.deploy().await;
        for (command, timeout) in [(vec![], None), (vec![String::new()], None), (vec!["a\0b".into()], None), (vec!["a".into()], Some(0))] {
            let wanted = CreateRun { command, timeout_seconds: timeout };
            let refused = world.control.create_run(&world.actor(), wanted).await.unwrap_err();
            assert!(matches!(refused, control::ControlError::Invalid(_)), "{refused:?}");
        }
        let cases = [
            (RunEnd { exit_code: 0, out_of_memory: false, timed_out: false }, RunState::Succeeded, Some(0)),
            (RunEnd { exit_code: 7, out_of_memory: false, timed_out: false }, RunState::Failed, Some(7)),
            (RunEnd { exit_code: 137, out_of_memory: true, timed_out: false }, RunState::Failed, Some(137)),
            (RunEnd { exit_code: 137, out_of_memory: false, timed_out: true }, RunState::Failed, Some(137)),
        ];
        for (end, state, code) in cases {
            world.server.next_run(Ok(end));
            let id = run(&world).await;
            world.work().await;
            let row = world.run_row(id).await;
            assert_eq!((row.state, row.exit_code, row.finished_at.is_some()), (state, code, true));
            assert_eq!(world.server.logs().ended(LogStream::Run(id)), code.map(|code| format!("exit {code}")));
        }
        world.server.next_run(Err(ScriptedServer::failure(Cause::Engine, Step::Start)));
        let id = run(&world).await;
        world.work().await;
        assert!(world.run_row(id).await.reason.unwrap().contains("scripted to fail"));
        assert_eq!(world.releases().await.len(), 1, "a run makes no release");
    })
    .await;
}

#[tokio::test]
async fn a_run_is_canceled_before_and_while_it_runs() {
    on_both(async |store| {
        let world = World::new(store).await;
        world.deploy().await;
        let waiting = run(&world).await;
        world.control.cancel_run(&world.actor_at(waiting.uuid())).await.unwrap();
        assert_eq!(world.run_row(waiting).await.state, RunState::Canceled);
        world.work().await;
        assert_eq!(world.server.count("run"), 0);
        assert_eq!(world.server.logs().ended(LogStream::Run(waiting)).as_deref(), Some("canceled"));
        world.server.hold(Step::ReleaseCommand);
        let runner = world.runner();
        let running = run(&world).await;
        eventually("it runs", async || world.server.waits_at(Step::ReleaseCommand)).await;
        world.control.cancel_run(&world.actor_at(running.uuid())).await.unwrap();
        eventually("it ended", async || world.run_row(running).await.finished_at.is_some()).await;
        runner.stop(Duration::from_secs(5)).await;
        assert_eq!(world.run_row(running).await.state, RunState::Canceled);
        assert!(world.control.cancel_run(&world.actor_at(running.uuid())).await.is_err());
    })
    .await;
}

/// Lines that a limit swallowed are said on a page too.
#[tokio::test]
async fn a_page_of_lines_shows_gaps_and_goes_on() {
    on_both(async |store| {
        let world = World::new(store).await;
        let stream = LogStream::Service(world.service);
        world.server.logs().line(stream, "one");
        world.server.logs().gap(stream, 40);
        world.server.logs().line(stream, "two");
        let read = async |after, limit| {
            let query = contract::logs::LogsQuery { after, limit, ..Default::default() };
            world.control.read_logs(&world.actor(), control::access::Kind::Service, &query).await
        };
        let page = read(None, Some(2)).await.unwrap();
        let seen: Vec<_> = page.data.iter().map(|line| (line.offset, line.dropped)).collect();
        assert_eq!((seen, page.next_after, page.ended), (vec![(1, None), (41, Some(40))], Some(41), false));
        let page = read(page.next_after, None).await.unwrap();
        assert_eq!(page.data.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["two"]);
        for limit in [0, 10_001] {
            assert!(read(None, Some(limit)).await.is_err());
        }
        let offsets: BTreeSet<u64> = page.data.iter().map(|line| line.offset).collect();
        assert_eq!(offsets, BTreeSet::from([42]));
    })
    .await;
}

use std::time::Duration;

use deployer::protocol::*;
use domain::deployment::{Cause, Step};
use domain::id::VolumeId;
use domain::service::{HealthCheck, Probe};
use domain::{SystemClock, SystemEntropy};
use tokio_util::sync::CancellationToken;

use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn releases_follow_one_another_without_a_failed_request() {
    let world = World::new().await;
    let app = App::new();
    let first = world.apply(app.order(&world, 1, &[])).await.unwrap();
    assert_eq!((first.replicas.len(), first.replicas[0].name.as_str(), first.gap_ms), (1, "web.1", None));
    assert!(world.get(&app.host, "/").await.1.contains("v1"));
    let load = Load::begin(world.address, &app.host, 200);
    for version in 2..=4 {
        let applied = world.apply(app.order(&world, version, &[])).await.unwrap();
        assert_eq!(applied.requests_cut, 0);
        assert!(world.get(&app.host, "/").await.1.contains(&format!("v{version}")), "the old release answered after the switch");
    }
    assert!(load.end().await > 100);
    assert_eq!(world.containers().await.len(), 1);
    world.end(&[&app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_release_never_takes_traffic_and_says_why() {
    let world = World::new().await;
    let app = App::new();
    world.apply(app.order(&world, 1, &[])).await.unwrap();
    let serving = world.running().await;
    let load = Load::begin(world.address, &app.host, 100);

    let failure = world.apply(app.order(&world, 2, &[("EXIT_CODE", "3")])).await.unwrap_err();
    assert_eq!((failure.cause, failure.exit_code), (Cause::Start, Some(3)), "{failure}");
    assert!(failure.log_tail.iter().any(|line| line.contains("exits at once with 3")), "{:?}", failure.log_tail);

    let mut order = app.order(&world, 3, &[("LISTEN_PORT", "9999")]);
    order.desired.health.deadline_seconds = 8;
    let failure = world.apply(order).await.unwrap_err();
    assert_eq!(failure.cause, Cause::PortMismatch, "{failure}");
    assert!(failure.message.contains("9999") && failure.message.contains("8080"), "{failure}");

    let mut order = app.order(&world, 4, &[("HEALTH", "never")]);
    order.desired.health.deadline_seconds = 2;
    let failure = world.apply(order).await.unwrap_err();
    assert_eq!(failure.cause, Cause::Health, "{failure}");
    assert!(failure.message.contains("503"), "{failure}");

    let mut order = app.order(&world, 5, &[("EAT_MEMORY_MB", "500"), ("HEALTH", "never")]);
    order.desired.health.deadline_seconds = 30;
    let failure = world.apply(order).await.unwrap_err();
    assert_eq!(failure.cause, Cause::OutOfMemory, "{failure}");

    let mut order = app.order(&world, 6, &[]);
    order.desired.processes[0].command = Some(vec!["/no/such/program".into()]);
    assert!(world.apply(order).await.is_err());

    load.end().await;
    assert_eq!(world.running().await, serving, "the release that served must not have been touched");
    assert_eq!(world.containers().await.len(), 1, "nothing of the broken releases is left");
    assert!(world.get(&app.host, "/").await.1.contains("v1"));
    world.end(&[&app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn web_is_the_gate_for_the_other_processes() {
    let world = World::new().await;
    let app = App::new();
    let mut order = app.order(&world, 1, &[("HEALTH", "never")]);
    order.desired.processes.push(process("worker", 1));
    order.desired.health.deadline_seconds = 2;
    world.apply(order).await.unwrap_err();
    assert!(!world.log(LogStream::Service(app.service)).await.iter().any(|line| line.contains("worker")));
    assert!(world.containers().await.is_empty());
    let mut order = app.order(&world, 2, &[]);
    order.desired.processes.push(process("worker", 2));
    order.desired.health.stay_up_seconds = 1;
    let names: Vec<String> = world.apply(order).await.unwrap().replicas.into_iter().map(|replica| replica.name).collect();
    assert_eq!(names, ["web.1", "worker.1", "worker.2"]);
    world.end(&[&app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_and_restart() {
    let world = World::new().await;
    let app = App::new();
    let load;
    let order = app.order(&world, 1, &[("MESSAGE", "same")]);
    world.apply(again(&order)).await.unwrap();
    let first = world.running().await;
    world.apply(again(&order)).await.unwrap();
    assert_eq!(world.running().await, first, "the same order again changes nothing");
    load = Load::begin(world.address, &app.host, 100);

    let mut order = app.order(&world, 2, &[("MESSAGE", "same")]);
    order.desired.processes[0].replicas = 3;
    let applied = world.apply(order).await.unwrap();
    let names: Vec<&str> = applied.replicas.iter().map(|replica| replica.name.as_str()).collect();
    assert_eq!(names, ["web.1", "web.2", "web.3"]);
    assert!(applied.replicas.iter().all(|replica| replica.release == 2));
    assert!(world.running().await.contains(&first[0]), "scaling restarts nobody");

    let order = app.order(&world, 3, &[("MESSAGE", "same")]);
    world.apply(order).await.unwrap();
    assert_eq!(world.running().await, first, "scaling down keeps web.1");

    let mut order = app.order(&world, 4, &[("MESSAGE", "same")]);
    order.replace = true;
    world.apply(again(&order)).await.unwrap();
    let replaced = world.running().await;
    assert_ne!(replaced, first);
    world.apply(again(&order)).await.unwrap();
    assert_eq!(world.running().await, replaced, "a repeated restart is one restart");
    load.end().await;

    let stale = ApplyOrder { fence: 1, ..app.order(&world, 5, &[]) };
    assert!(world.apply(stale).await.unwrap_err().message.contains("newer order"));
    world.server.stop(app.service, 50).await.unwrap();
    assert_eq!(world.get(&app.host, "/").await.0, 503);
    assert!(world.running().await.is_empty());
    let order = ApplyOrder { fence: 51, ..app.order(&world, 6, &[("MESSAGE", "same")]) };
    world.apply(order).await.unwrap();
    assert_eq!(world.running().await, replaced, "a start takes the stopped replica up again");
    assert_eq!(world.get(&app.host, "/").await.0, 200);
    world.end(&[&app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_never_has_two_writers_and_requests_wait() {
    let world = World::new().await;
    let app = App::new();
    let volume = VolumeId::new(&SystemClock, &SystemEntropy);
    let with_volume = |version: u64, variables: &[(&str, &str)]| {
        let mut order = app.order(&world, version, variables);
        order.desired.mounts = vec![DesiredMount::Volume { volume, path: "/data".into(), read_only: false }];
        order
    };
    world.apply(with_volume(1, &[])).await.unwrap();
    let load = Load::begin(world.address, &app.host, 50);
    let applied = world.apply(with_volume(2, &[])).await.unwrap();
    assert!(applied.gap_ms.is_some_and(|gap| gap > 0 && gap < 10_000), "{:?}", applied.gap_ms);
    assert!(world.get(&app.host, "/").await.1.contains("v2"));

    let mut broken = with_volume(3, &[("HEALTH", "never")]);
    broken.desired.health.deadline_seconds = 2;
    world.apply(broken).await.unwrap_err();
    assert!(world.get(&app.host, "/").await.1.contains("v2"), "the old release came back");
    load.end().await;
    assert_eq!(world.containers().await.len(), 1);

    let mut two = with_volume(4, &[]);
    two.desired.processes[0].replicas = 2;
    assert_eq!(world.apply(two).await.unwrap_err().cause, Cause::Configuration);
    world.end(&[&app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ignores_the_stop_signal_is_killed_after_the_grace() {
    let world = World::new().await;
    let app = App::new();
    world.apply(app.order(&world, 1, &[("IGNORE_TERM", "1")])).await.unwrap();
    let mut order = app.order(&world, 2, &[]);
    order.desired.stop_grace_seconds = 1;
    let operation = order.operation;
    world.apply(order).await.unwrap();
    let log = world.log(LogStream::Deployment(operation)).await;
    assert!(log.iter().any(|line| line.contains("was killed after 1 s")), "{log:?}");
    assert_eq!(world.containers().await.len(), 1);
    world.end(&[&app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_leaves_the_serving_release_untouched() {
    let world = World::new().await;
    let app = App::new();
    world.apply(app.order(&world, 1, &[])).await.unwrap();
    let serving = world.running().await;
    let cancel = CancellationToken::new();
    let order = app.order(&world, 2, &[("HEALTH", "never")]);
    let (server, token) = (world.server.clone(), cancel.clone());
    let task = tokio::spawn(async move { server.apply(order, &NoJournal, token).await });
    until("the new replica runs", Duration::from_secs(20), || async { world.running().await.len() == 2 }).await;
    cancel.cancel();
    assert!(task.await.unwrap().unwrap_err().message.contains("canceled"));
    assert_eq!(world.running().await, serving);
    world.end(&[&app]).await;
}

/// Every place at which the journal is asked, found by running once, is a place to die.
#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_the_same_order_again_has_the_same_end() {
    for single_writer in [false, true] {
        let mut world = World::new().await;
        let app = App::new();
        let volume = VolumeId::new(&SystemClock, &SystemEntropy);
        let order = |version: u64| {
            let mut order = app.order(&world, version, &[]);
            if single_writer {
                order.desired.mounts = vec![DesiredMount::Volume { volume, path: "/data".into(), read_only: false }];
            }
            order
        };
        world.apply(order(1)).await.unwrap();
        let journal = KillingJournal::new(None);
        world.server.apply(order(2), &journal, CancellationToken::new()).await.unwrap();
        let places = journal.seen.lock().unwrap().clone();
        for step in [Step::Create, Step::Start, Step::Health, Step::Switch, Step::Drain, Step::Stop] {
            assert!(places.contains(&Place::Before(step)) && places.contains(&Place::After(step)), "{step:?} is not recorded: {places:?}");
        }
        assert!(places.iter().all(|place| {
            let (Place::Before(step) | Place::After(step)) = place;
            Step::ALL.contains(step)
        }));
        let mut version = 2;
        for place in places {
            version += 1;
            let order = {
                let mut order = app.order(&world, version, &[]);
                if single_writer {
                    order.desired.mounts = vec![DesiredMount::Volume { volume, path: "/data".into(), read_only: false }];
                }
                order
            };
            let journal = KillingJournal::new(Some(place));
            tokio::select! {
                ended = world.server.apply(again(&order), &journal, CancellationToken::new()) => panic!("{place:?} was not reached: {ended:?}"),
                () = journal.reached.cancelled() => {}
            }
            if !single_writer {
                assert_eq!(world.get(&app.host, "/").await.0, 200, "somebody serves while nobody works ({place:?})");
            }
            world.restart().await;
            world.apply(order).await.unwrap_or_else(|failure| panic!("{place:?}: {failure}"));
            let answer = world.get(&app.host, "/").await;
            assert!(answer.1.contains(&format!("v{version}")), "{place:?}: {answer:?}");
            assert_eq!(world.containers().await.len(), 1, "{place:?} left something");
        }
        world.end(&[&app]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_probes() {
    let world = World::new().await;
    let app = App::new();
    for (version, probe) in
        [(1, Probe::Tcp), (2, Probe::StayUp), (3, Probe::Command { argv: vec!["/bin/sh".into(), "-c".into(), "exit 0".into()] })]
    {
        let mut order = app.order(&world, version, &[]);
        order.desired.health = HealthCheck { probe, stay_up_seconds: 1, deadline_seconds: 15, ..HealthCheck::default() };
        world.apply(order).await.unwrap();
    }
    let mut order = app.order(&world, 4, &[]);
    let argv = vec!["/bin/sh".into(), "-c".into(), "echo not yet; exit 7".into()];
    order.desired.health = HealthCheck { probe: Probe::Command { argv }, deadline_seconds: 2, ..HealthCheck::default() };
    let failure = world.apply(order).await.unwrap_err();
    assert!(failure.message.contains('7') && failure.message.contains("not yet"), "{failure}");
    world.end(&[&app]).await;
}

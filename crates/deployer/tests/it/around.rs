//! What happens around a rollout: runs, exec, logs, the firewall, restarts, sweeps.

use std::time::Duration;

use bollard::query_parameters::RestartContainerOptionsBuilder;
use deployer::protocol::*;
use domain::id::{DeploymentId, RunId};
use domain::{Secret, SystemClock, SystemEntropy};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::world::*;

fn run_order(world: &World, app: &App, command: &[&str], timeout_seconds: u32) -> RunOrder {
    let run = RunId::new(&SystemClock, &SystemEntropy);
    RunOrder {
        run,
        stream: LogStream::Run(run),
        desired: app.order(world, 1, &[("SECRET", "hunter2hunter2")]).desired,
        command: command.iter().map(|part| (*part).to_owned()).collect(),
        timeout_seconds,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_off_commands() {
    let world = World::new().await;
    let app = App::new();
    let mut order = run_order(&world, &app, &["/bin/sh", "-c", "echo to out $SECRET; echo to err >&2; exit 4"], 20);
    order.desired.masks = vec![Secret::new("hunter2hunter2".to_owned())];
    let stream = order.stream;
    let ended = world.server.run(order, CancellationToken::new()).await.unwrap();
    assert_eq!((ended.exit_code, ended.out_of_memory, ended.timed_out), (4, false, false));
    let log = world.log(stream).await;
    assert!(log.iter().any(|line| line.starts_with("to out [masked]")) && log.contains(&"to err".to_owned()), "{log:?}");

    let ended = world.server.run(run_order(&world, &app, &["/bin/sleep", "60"], 1), CancellationToken::new()).await.unwrap();
    assert!(ended.timed_out);

    let eater = ["/bin/sh", "-c", "x=a; while true; do x=$x$x; done"];
    let ended = world.server.run(run_order(&world, &app, &eater, 30), CancellationToken::new()).await.unwrap();
    assert!(ended.out_of_memory || ended.exit_code != 0, "{ended:?}");

    let cancel = CancellationToken::new();
    let (server, token, order) = (world.server.clone(), cancel.clone(), run_order(&world, &app, &["/bin/sleep", "60"], 60));
    let task = tokio::spawn(async move { server.run(order, token).await });
    until("it runs", Duration::from_secs(15), || async { world.running().await.len() == 1 }).await;
    cancel.cancel();
    assert!(task.await.unwrap().is_err());

    let missing = world.server.run(run_order(&world, &app, &["/no/such"], 5), CancellationToken::new()).await;
    // The init inside the container says it with the shell's code.
    assert_eq!(missing.unwrap().exit_code, 127);
    assert!(world.containers().await.is_empty(), "runs leave nothing");
    world.end(&[&app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_inside_a_replica() {
    let world = World::new().await;
    let app = App::new();
    world.apply(app.order(&world, 1, &[])).await.unwrap();
    let order = |command: &str, terminal| ExecOrder {
        service: app.service,
        replica: Some("web.1".into()),
        command: vec!["/bin/sh".into(), "-c".into(), command.into()],
        terminal,
    };
    let size = TerminalSize { columns: 123, rows: 45 };
    let mut session = world.server.exec(order("stty size; read line; echo got $line; exit 5", Some(size))).await.unwrap();
    session.input.send(ExecInput::Bytes("hello\n".into())).await.unwrap();
    let mut text = String::new();
    while let Some(Ok(part)) = session.output.next().await {
        text.push_str(&String::from_utf8_lossy(&part));
    }
    assert!(text.contains("got hello"), "{text}");
    assert_eq!(session.exit.await.unwrap(), 5);

    let session = world.server.exec(order("exec sleep 4242", None)).await.unwrap();
    let sleeping = || async {
        let found = world.docker.top_processes(&world.running().await[0], None::<bollard::query_parameters::TopOptions>).await.unwrap();
        found.processes.unwrap_or_default().iter().any(|line| line.join(" ").contains("4242"))
    };
    until("it sleeps", Duration::from_secs(10), sleeping).await;
    drop(session);
    until("a dropped session ends its command", Duration::from_secs(10), || async { !sleeping().await }).await;

    let wrong = ExecOrder { replica: Some("web.9".into()), ..order("true", None) };
    assert!(world.server.exec(wrong).await.is_err());
    world.end(&[&app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_to_the_server_or_the_metadata_address() {
    let world = World::new().await;
    let (app, other) = (App::new(), App::new());
    world.apply(app.order(&world, 1, &[])).await.unwrap();
    world.apply(other.order(&world, 1, &[])).await.unwrap();
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let networks =
        world.docker.inspect_container(&world.running().await[0], None).await.unwrap().network_settings.unwrap().networks.unwrap();
    let gateway = networks.values().next().unwrap().gateway.clone().unwrap();
    let neighbour = world.server.replicas(other.service).await.unwrap()[0].address.unwrap();
    let own = world.server.replicas(app.service).await.unwrap()[0].address.unwrap();
    assert!(world.get(&app.host, &format!("/connect?to={own}")).await.1.contains("\"reached\":true"), "the probe itself must work");
    for target in [format!("{gateway}:{port}"), format!("{neighbour}"), "169.254.169.254:80".into(), "168.63.129.16:80".into()] {
        let answer = world.get(&app.host, &format!("/connect?to={target}")).await;
        assert!(answer.1.contains("\"reached\":false"), "{target} can be reached: {answer:?}");
    }
    let health = world.server.health().await;
    // Not the disk: the machine of the tests may be full.
    assert!(health.parts.iter().filter(|part| part.name != "disk").all(|part| part.ok), "{health:?}");
    world.end(&[&app, &other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_follow_a_restart_and_a_crash_is_said() {
    let mut world = World::new().await;
    let app = App::new();
    let mut order = app.order(&world, 1, &[]);
    order.desired.engine.restarts_max = Some(1);
    world.apply(order).await.unwrap();
    let container = world.running().await[0].clone();
    world.restart().await;
    let options = RestartContainerOptionsBuilder::new().t(0).build();
    world.docker.restart_container(&container, Some(options)).await.unwrap();
    until("it answers again", Duration::from_secs(15), || async { world.get(&app.host, "/").await.0 == 200 }).await;
    let ready = || async {
        let _ = world.get(&app.host, "/crash").await;
        world.server.replicas(app.service).await.unwrap()[0].state == ReplicaState::Crashed
    };
    until("it is given up", Duration::from_secs(30), ready).await;
    until("the page says so", Duration::from_secs(15), || async { world.get(&app.host, "/").await.0 == 502 }).await;
    let log = world.log(LogStream::Service(app.service)).await;
    assert!(log.iter().any(|line| line.contains("crashed more than 1 times")), "{log:?}");
    let mut order = app.order(&world, 2, &[]);
    order.replace = true;
    world.apply(order).await.unwrap();
    assert_eq!(world.get(&app.host, "/").await.0, 200);
    world.end(&[&app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_removes_orphans_and_nothing_else() {
    let world = World::new().await;
    let (app, gone) = (App::new(), App::new());
    world.apply(app.order(&world, 1, &[])).await.unwrap();
    world.apply(gone.order(&world, 1, &[])).await.unwrap();
    let order = app.order(&world, 2, &[]);
    let journal = KillingJournal::new(Some(Place::Before(domain::deployment::Step::Switch)));
    tokio::select! {
        _ = world.server.apply(again(&order), &journal, CancellationToken::new()) => panic!("it was not killed"),
        () = journal.reached.cancelled() => {}
    }
    assert_eq!(world.running().await.len(), 3);
    let serving = world.server.replicas(app.service).await.unwrap();
    let release = app.order(&world, 1, &[]).desired.release;
    let mut intended = Intended { environments: vec![app.environment], ..Intended::default() };
    intended.services.insert(app.service, IntendedService { release: Some(release), images_kept: vec![], stopped: false });

    intended.deployments = vec![order.operation];
    let report = world.server.sweep(intended.clone(), SweepMode::Simulate).await.unwrap();
    assert_eq!(world.running().await.len(), 3, "a simulation changes nothing");
    assert!(report.removed.iter().all(|line| !line.contains(&app.service.to_string())), "a deployment under way is left alone: {report:?}");

    intended.deployments = vec![DeploymentId::new(&SystemClock, &SystemEntropy)];
    let report = world.server.sweep(intended.clone(), SweepMode::Act).await.unwrap();
    assert_eq!(world.running().await.len(), 1, "{report:?}");
    assert!(serving.iter().any(|replica| replica.release == 1));
    assert!(world.get(&app.host, "/").await.1.contains("v1"));
    assert_eq!(world.get(&gone.host, "/").await.0, 404);
    assert!(report.left.iter().any(|line| line.contains("network")), "{report:?}");
    assert_eq!(report.missing, vec![app.service], "its release is not the intended one");
    let report = world.server.sweep(intended, SweepMode::Act).await.unwrap();
    assert!(report.removed.is_empty() && report.repaired.is_empty(), "a second sweep has nothing to do: {report:?}");
    world.server.remove(Removal::Environment { environment: gone.environment }).await.unwrap();
    world.end(&[&app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runtime_logs_are_stored_masked_and_followed() {
    let mut world = World::new().await;
    let app = App::new();
    let mut order = app.order(&world, 1, &[("TOKEN", "s3cr3t-value-1"), ("PRINT", "TOKEN")]);
    order.desired.masks = vec![Secret::new("s3cr3t-value-1".to_owned())];
    world.apply(order).await.unwrap();
    let stream = LogStream::Service(app.service);
    let listening = || async { world.log(stream).await.iter().any(|line| line.contains("listens on 8080")) };
    until("the first lines are stored", Duration::from_secs(10), listening).await;
    assert!(!world.log(stream).await.iter().any(|line| line.contains("s3cr3t")), "{:?}", world.log(stream).await);

    let mut follower = world.server.follow_logs(LogQuery { tail: Some(0), ..LogQuery::whole(stream) }).await.unwrap();
    world.get(&app.host, "/log?text=one-more&count=3").await;
    for _ in 0..3 {
        let event = tokio::time::timeout(Duration::from_secs(10), follower.next()).await.unwrap().unwrap();
        assert!(matches!(&event, LogEvent::Line(line) if line.text.contains("one-more") && line.origin == "web.1"), "{event:?}");
    }
    drop(follower);
    let before = world.log(stream).await;
    world.restart().await;
    world.get(&app.host, "/log?text=s3cr3t-value-1&count=1").await;
    until("the collector goes on after a restart", Duration::from_secs(15), || async { world.log(stream).await.len() > before.len() })
        .await;
    let after = world.log(stream).await;
    assert_eq!(&after[..before.len()], &before[..]);
    assert_eq!(after.len(), before.len() + 1, "no line twice: {after:?}");
    assert!(after.last().unwrap().contains("[masked]"), "the masks survive the restart: {after:?}");
    world.end(&[&app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_app_is_bounded_and_slows_no_deployment() {
    let world = World::new().await;
    let (flood, app) = (App::new(), App::new());
    world.apply(app.order(&world, 1, &[])).await.unwrap();
    let before = std::time::Instant::now();
    world.apply(app.order(&world, 2, &[])).await.unwrap();
    let quiet = before.elapsed();
    world.apply(flood.order(&world, 1, &[("FLOOD", "1")])).await.unwrap();
    let stream = LogStream::Service(flood.service);
    let gap = || async {
        let query = LogQuery { limit: 5_000, tail: Some(5_000), ..LogQuery::whole(stream) };
        world
            .server
            .read_logs(query)
            .await
            .unwrap()
            .events
            .iter()
            .any(|event| matches!(event, LogEvent::Gap { dropped, .. } if *dropped > 0))
    };
    until("the gap is shown", Duration::from_secs(20), gap).await;
    let before = std::time::Instant::now();
    world.apply(app.order(&world, 3, &[])).await.unwrap();
    let loud = before.elapsed();
    assert!(loud < quiet * 4 + Duration::from_secs(3), "{quiet:?} without, {loud:?} with the flood");
    world.get(&app.host, "/log?text=still-heard&count=1").await;
    let heard = || async { world.log(LogStream::Service(app.service)).await.iter().any(|line| line.contains("still-heard")) };
    until("others are heard", Duration::from_secs(10), heard).await;
    let bytes: u64 = walk(&world.folder.path().join("state/logs"));
    assert!(bytes < 40 << 20, "{bytes} bytes of logs");
    world.end(&[&flood, &app]).await;
}

fn walk(folder: &std::path::Path) -> u64 {
    std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { entry.metadata().unwrap().len() })
        .sum()
}

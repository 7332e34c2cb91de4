//! What keeps apps, builds and instances of one machine apart, seen from inside of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use deployer::builder::BuilderChoice;
use deployer::local::LocalServerConfig;
use deployer::protocol::*;
use domain::deployment::{Cause, Failure};
use domain::id::{DeploymentId, ServiceId};
use domain::{Secret, SystemClock, SystemEntropy};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio_util::sync::CancellationToken;

use crate::orders::archive_order;
use crate::world::*;

/// An order whose source is one Dockerfile.
pub fn build_order(world: &World, dockerfile: &str) -> BuildOrder {
    BuildOrder { cache: false, ..archive_order(world.folder.path(), &[("Dockerfile", dockerfile.as_bytes())]) }
}

pub async fn build(world: &World, order: BuildOrder) -> Result<Built, Failure> {
    world.server.build(order, &NoJournal, CancellationToken::new()).await
}

async fn remove(world: &World, built: &Built) {
    let options = bollard::query_parameters::RemoveImageOptionsBuilder::new().force(true).build();
    world.docker.remove_image(&built.image, Some(options), None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_on_one_machine_keep_their_rules_apart() {
    let (one, other) = (World::new().await, World::new().await);
    let (app, neighbour) = (App::new(), App::new());
    one.apply(app.order(&one, 1, &[])).await.unwrap();
    other.apply(neighbour.order(&other, 1, &[])).await.unwrap();
    let jumps = |instance: &str| {
        let rules = rules();
        let to_ours = |line: &&str| line.contains(" -j SEAWAY-") && line.ends_with(instance);
        let mut lines: Vec<&str> = rules.lines().filter(to_ours).collect();
        let count = lines.len();
        lines.sort_unstable();
        lines.dedup();
        (count, lines.len())
    };
    assert_eq!((jumps(&one.instance), jumps(&other.instance)), ((4, 4), (4, 4)), "{}", rules());
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let networks =
        other.docker.inspect_container(&other.running().await[0], None).await.unwrap().network_settings.unwrap().networks.unwrap();
    let gateway = networks.values().next().unwrap().gateway.clone().unwrap();
    // One goes with all of its rules; the other's stay, and hold.
    one.end(&[&app]).await;
    assert_eq!(jumps(&other.instance), (4, 4), "{}", rules());
    let own = other.server.replicas(neighbour.service).await.unwrap()[0].address.unwrap();
    assert!(other.get(&neighbour.host, &format!("/connect?to={own}")).await.1.contains("\"reached\":true"), "the probe itself must work");
    let answer = other.get(&neighbour.host, &format!("/connect?to={gateway}:{port}")).await;
    assert!(answer.1.contains("\"reached\":false"), "{answer:?}");
    other.end(&[&neighbour]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doubled_and_lost_jumps_are_put_right() {
    let mut world = World::new().await;
    let app = App::new();
    world.apply(app.order(&world, 1, &[])).await.unwrap();
    let jump = rules().lines().find(|line| line.starts_with("-A INPUT -i sw") && line.ends_with(&world.instance)).unwrap().to_owned();
    let change = |action: &str| {
        let arguments: Vec<String> = jump.replacen("-A", action, 1).split(' ').map(str::to_owned).collect();
        assert!(std::process::Command::new("iptables").args(["-w", "5"]).args(arguments).status().unwrap().success());
    };
    let count = || rules().lines().filter(|line| **line == jump).count();
    for (action, then) in [("-A", 2), ("-D", 0)] {
        change(action);
        if then == 0 {
            assert_eq!(count(), 0);
        } else {
            assert_eq!(count(), then);
        }
        world.restart().await;
        until("the jump is there once", Duration::from_secs(15), || async { count() == 1 }).await;
    }
    world.end(&[&app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_denied_are_looked_up_and_closed() {
    let world = World::with(|config| config.hosts_denied = vec!["192.0.2.77".into(), "localhost".into()]).await;
    let app = App::new();
    world.apply(app.order(&world, 1, &[])).await.unwrap();
    let closed = format!("-A SEAWAY-FW-{} -d 192.0.2.77/32 -j DROP", world.instance);
    assert!(rules().contains(&closed), "{}", rules());
    world.end(&[&app]).await;
    let world = World::with(|config| config.hosts_denied = vec!["no-such-host.invalid".into()]).await;
    let failure = world.apply(App::new().order(&world, 1, &[])).await.unwrap_err();
    assert!(failure.message.contains("no-such-host.invalid"), "nothing starts while the address is unknown: {failure:?}");
    world.server.shutdown().await;
}

/// Steps of two builds at the same time: one listens, the other tries to connect.
async fn a_build_reaches(choice: BuilderChoice) {
    let seaway = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let another = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let (own, open) = (seaway.local_addr().unwrap().port(), another.local_addr().unwrap().port());
    let change = |config: &mut LocalServerConfig| {
        config.builder = choice;
        config.own_ports = vec![own];
    };
    let world = World::with(change).await;
    let listens = build_order(&world, "FROM seaway-test/behave\nRUN echo address=$(hostname -I)=; timeout 60 behave; true\n");
    let stream = LogStream::Deployment(listens.operation);
    let (server, cancel) = (world.server.clone(), CancellationToken::new());
    let token = cancel.clone();
    let task = tokio::spawn(async move { server.build(listens, &NoJournal, token).await });
    let address = Arc::new(Mutex::new(String::new()));
    let found = || async {
        let line = world.log(stream).await.into_iter().find(|line| line.starts_with("address=1"));
        let words = line.map(|line| line.trim_start_matches("address=").trim_end_matches('=').trim().to_owned());
        words.inspect(|words| address.lock().unwrap().clone_from(words)).is_some()
    };
    until("the first build tells its address", Duration::from_secs(60), found).await;
    let listener = format!("{}:8080", address.lock().unwrap());
    let from_here = || async { tokio::net::TcpStream::connect(&listener).await.is_ok() };
    until("its listener answers the machine", Duration::from_secs(20), from_here).await;
    let try_one = |place: &str| {
        let (host, port) = place.rsplit_once(':').unwrap();
        format!("RUN timeout 3 bash -c '</dev/tcp/{host}/{port}' 2>/dev/null && echo reached-{place} || echo closed-{place}\n")
    };
    let gateway = "172.17.0.1";
    let places = [listener.clone(), "169.254.169.254:80".to_owned(), format!("{gateway}:{own}"), format!("{gateway}:{open}")];
    let text: String = places.iter().map(|place| try_one(place)).collect();
    let order = build_order(&world, &format!("FROM seaway-test/behave\n{text}"));
    let stream = LogStream::Deployment(order.operation);
    let built = build(&world, order).await.unwrap();
    let log = world.log(stream).await;
    let said = |text: String| log.iter().any(|line| line.trim() == text);
    for place in &places[..3] {
        assert!(said(format!("closed-{place}")), "{choice:?} {place}: {log:?}");
    }
    assert!(said(format!("reached-{}", places[3])), "the probe itself must work: {log:?}");
    cancel.cancel();
    task.await.unwrap().unwrap_err();
    remove(&world, &built).await;
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_do_not_reach_each_other_with_buildkit() {
    a_build_reaches(BuilderChoice::Auto).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_do_not_reach_each_other_with_the_classic_builder() {
    a_build_reaches(BuilderChoice::Classic).await;
}

/// Says that it wants a name and a password, writes down what it is sent, and has no image.
async fn registry() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, heard) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let sink = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sink = Arc::clone(&sink);
            tokio::spawn(async move {
                let mut lines = BufReader::new(stream);
                let (mut first, mut authorization) = (String::new(), None);
                loop {
                    let mut line = String::new();
                    if lines.read_line(&mut line).await.unwrap_or(0) == 0 {
                        return;
                    }
                    let line = line.trim_end();
                    if let Some((name, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
                        authorization = Some(format!("{name}:{value}"));
                    } else if first.is_empty() {
                        first = line.to_owned();
                    }
                    if !line.is_empty() {
                        continue;
                    }
                    let answer = if authorization.is_some() { "404 Not Found" } else { "401 Unauthorized" };
                    let heard = authorization.take().and_then(|text| text.split_once(": ").map(|(_, value)| value.to_owned()));
                    sink.lock().unwrap().extend(heard);
                    first.clear();
                    let text = format!("HTTP/1.1 {answer}\r\nwww-authenticate: Basic realm=\"test\"\r\ncontent-length: 0\r\n\r\n");
                    if lines.get_mut().write_all(text.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_a_dockerfile_names_pass_the_check_of_addresses() {
    let (port, heard) = registry().await;
    for choice in [BuilderChoice::Auto, BuilderChoice::Classic] {
        let world = World::with(|config| config.builder = choice).await;
        for text in [
            format!("FROM 127.0.0.1:{port}/private/base:1\n"),
            "FROM 169.254.169.254/x\n".to_owned(),
            "ARG HOST=10.1.2.3\nFROM ${HOST}:5000/x\n".to_owned(),
            "FROM seaway-test/base\nCOPY --from=192.168.0.1:5000/x / /\n".to_owned(),
            format!("FROM seaway/{}:{}\n", ServiceId::new(&SystemClock, &SystemEntropy), DeploymentId::new(&SystemClock, &SystemEntropy)),
        ] {
            let failure = build(&world, build_order(&world, &text)).await.unwrap_err();
            assert_eq!(failure.cause, Cause::Image, "{text}: {failure:?}");
            assert!(failure.message.contains("cannot be used") || failure.message.contains("not for others"), "{text}: {failure:?}");
        }
        let added = build_order(&world, "FROM seaway-test/base\nADD http://169.254.169.254/latest /x\n");
        let failure = build(&world, added).await.unwrap_err();
        assert!(failure.cause == Cause::Build && failure.next_step.contains("curl"), "{failure:?}");
        world.server.shutdown().await;
    }
    assert!(heard.lock().unwrap().is_empty(), "nothing was sent there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_base_image_is_asked_for_with_its_registrys_credential() {
    for choice in [BuilderChoice::Auto, BuilderChoice::Classic] {
        let (port, heard) = registry().await;
        let allow = |config: &mut LocalServerConfig| {
            config.builder = choice;
            config.egress.allow = vec!["127.0.0.0/8".parse().unwrap()];
        };
        let world = World::with(allow).await;
        let credential = || RegistryCredential { username: "robot".into(), password: Secret::new("registry-pass-77".into()) };
        let mut order = build_order(&world, &format!("FROM 127.0.0.1:{port}/private/base:1\n"));
        order.registries = vec![("other.example".into(), credential()), (format!("127.0.0.1:{port}"), credential())];
        let stream = LogStream::Deployment(order.operation);
        let failure = build(&world, order).await.unwrap_err();
        // robot:registry-pass-77
        let wanted = "Basic cm9ib3Q6cmVnaXN0cnktcGFzcy03Nw==".to_owned();
        assert!(heard.lock().unwrap().contains(&wanted), "{choice:?}: {:?} {failure:?}", heard.lock().unwrap());
        let shown = format!("{failure:?} {:?}", world.log(stream).await);
        assert!(!shown.contains("registry-pass-77"), "{shown}");
        world.server.shutdown().await;
    }
}

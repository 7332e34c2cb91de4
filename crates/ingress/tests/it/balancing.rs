//! Several replicas, several releases, sleeping services, and what is counted of them.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use ingress::{Canary, Replica, RouteState, routes::policy::Sticky, wire::EventKind};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

use crate::{
    backend::{Backend, nobody, websocket_echo},
    rig::{Rig, empty, get, request, route, send, until},
};

fn canary(backend: &Backend, weight_permille: u16) -> Canary {
    let replicas = vec![Replica { id: "canary".into(), address: backend.address, release: 2 }];
    Canary { replicas, weight_permille, visitor_cookie: Some("user".into()), visitors: vec!["tester".into()] }
}

async fn as_user(rig: &Rig, user: &str) -> String {
    let asked = request("a.test", "/").header("cookie", format!("x=1; user={user}")).body(empty()).unwrap();
    send(rig.address, asked).await.unwrap().body
}

#[tokio::test]
async fn a_canary_gets_its_share_of_the_visitors_and_they_stay() {
    let (rig, stable, new) = (Rig::start().await, Backend::start("stable").await, Backend::start("new").await);
    let mut split = route("svc", 1, &["a.test"], &[stable.address]);
    split.canary = Some(canary(&new, 100));
    rig.client.put(&split).await.unwrap();
    let mut chosen = Vec::new();
    for number in 0..400 {
        let user = format!("u{number}");
        if as_user(&rig, &user).await == "new" {
            chosen.push(user);
        }
    }
    assert!((15..=70).contains(&chosen.len()), "about a tenth of 400: {}", chosen.len());
    assert_eq!(as_user(&rig, "tester").await, "new", "the list comes first");
    split.generation = 2;
    split.canary.as_mut().unwrap().weight_permille = 500;
    rig.client.put(&split).await.unwrap();
    for user in &chosen {
        assert_eq!(as_user(&rig, user).await, "new", "a larger share keeps {user}");
    }
    // Without the app's cookie the ingress gives one, and it sticks.
    let first = rig.get("/").await;
    let cookie = first.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("seaway-visitor="), "{cookie}");
    for _ in 0..10 {
        let again = send(rig.address, request("a.test", "/").header("cookie", &cookie).body(empty()).unwrap()).await.unwrap();
        assert_eq!((again.body.as_str(), again.headers.contains_key("set-cookie")), (first.body.as_str(), false));
    }
    // Each release is counted by itself: what a guarded release compares.
    let seen = rig.client.seen("svc").await.unwrap().unwrap();
    let of = |release: u64| seen.releases.iter().find(|metrics| metrics.release == release).unwrap();
    assert_eq!((of(1).requests + of(2).requests, of(2).latencies.count()), (seen.requests, of(2).requests));
    assert!(of(2).requests >= 2 * chosen.len() as u64);
    let sample = of(2).sample_since(&Default::default());
    assert_eq!((sample.requests, sample.errors), (of(2).requests, 0));
}

#[tokio::test]
async fn a_dead_canary_costs_no_request_and_is_counted() {
    let (rig, stable) = (Rig::start().await, Backend::start("stable").await);
    let mut split = route("svc", 1, &["a.test"], &[stable.address]);
    let replicas = vec![Replica { id: "canary".into(), address: nobody().await, release: 2 }];
    split.canary = Some(Canary { replicas, weight_permille: 1_000, visitor_cookie: None, visitors: vec![] });
    rig.client.put(&split).await.unwrap();
    for _ in 0..20 {
        assert_eq!(rig.get("/").await.body, "stable");
    }
}

#[tokio::test]
async fn a_sticky_visitor_comes_back_to_the_same_replica_while_it_lives() {
    let (rig, one, two) = (Rig::start().await, Backend::start("one").await, Backend::start("two").await);
    let mut sticky = route("svc", 1, &["a.test"], &[one.address, two.address]);
    sticky.policy.sticky = Some(Sticky { cookie: "stick".into(), max_age_seconds: Some(60) });
    rig.client.put(&sticky).await.unwrap();
    let first = rig.get("/").await;
    let cookie = first.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("stick=") && cookie.contains("HttpOnly") && cookie.contains("Max-Age=60"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    for _ in 0..20 {
        let again = send(rig.address, request("a.test", "/").header("cookie", pair).body(empty()).unwrap()).await.unwrap();
        assert_eq!((again.body.as_str(), again.headers.contains_key("set-cookie")), (first.body.as_str(), false));
    }
    let left = if first.body == "one" { &two } else { &one };
    sticky.generation = 2;
    sticky.replicas.retain(|replica| replica.address == left.address);
    rig.client.put(&sticky).await.unwrap();
    let moved = send(rig.address, request("a.test", "/").header("cookie", pair).body(empty()).unwrap()).await.unwrap();
    assert!(moved.body != first.body && moved.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn a_replica_that_comes_back_is_found_by_the_probe() {
    let (rig, alive) = (Rig::start().await, Backend::start("alive").await);
    let place = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    rig.serve(1, &[address, alive.address]).await;
    for _ in 0..10 {
        assert_eq!(rig.get("/").await.body, "alive");
    }
    assert!(rig.metrics().await.retries <= 1, "one try told enough");
    let back = Backend::start_at(address, "back").await;
    until("it is used again", async || {
        rig.get("/").await;
        back.seen() > 0
    })
    .await;
    assert!(rig.metrics().await.retries <= 1, "no request paid for the way back");
}

#[tokio::test]
async fn a_sleeping_service_is_woken_by_its_first_request() {
    let (rig, backend) = (Rig::start().await, Backend::start("awake").await);
    let mut asleep = route("svc", 1, &["a.test"], &[]);
    asleep.state = RouteState::Asleep;
    asleep.hold_timeout_ms = Some(5_000);
    rig.client.put(&asleep).await.unwrap();
    assert_eq!(rig.metrics().await.last_request_ms, 0);
    let client = rig.client.clone();
    let start = client.events(0, Duration::ZERO).await.unwrap();
    let listening = tokio::spawn(async move { client.events(start.next, Duration::from_secs(10)).await.unwrap() });
    let address = rig.address;
    let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(async move { get(address, "a.test", "/").await })).collect();
    let events = listening.await.unwrap();
    let found: Vec<_> = events.events.iter().map(|event| (event.service.as_str(), event.kind)).collect();
    assert_eq!((found, events.lost), (vec![("svc", EventKind::Wake)], false), "ten requests, one wake-up");
    until("all wait", async || rig.metrics().await.held == 10).await;
    rig.serve(2, &[backend.address]).await;
    for request in waiting {
        assert_eq!(request.await.unwrap().body, "awake");
    }
    let metrics = rig.metrics().await;
    assert!(metrics.last_request_ms > 0 && metrics.ingress_5xx == 0, "{metrics:?}");
}

#[tokio::test]
async fn a_service_that_does_not_wake_in_time_is_a_page() {
    let rig = Rig::start().await;
    let mut asleep = route("svc", 1, &["a.test"], &[]);
    asleep.state = RouteState::Asleep;
    asleep.hold_timeout_ms = Some(200);
    rig.client.put(&asleep).await.unwrap();
    let answer = rig.get("/").await;
    assert_eq!((answer.status, answer.headers["seaway-error"].to_str().unwrap()), (StatusCode::SERVICE_UNAVAILABLE, "woken_too_late"));
    assert!(answer.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn at_a_switch_sockets_get_1012_early_and_requests_go_on() {
    let (rig, new) = (Rig::start().await, Backend::start("new").await);
    let (sockets, slow) = (websocket_echo().await, Backend::start("slow").await);
    let mut old = route("svc", 1, &["a.test"], &[sockets]);
    old.policy.websocket_drain_ms = Some(300);
    rig.client.put(&old).await.unwrap();
    let mut wanted = format!("ws://{}/", rig.address).into_client_request().unwrap();
    wanted.headers_mut().insert("host", "a.test".parse().unwrap());
    let stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(wanted, stream).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    until("it is counted", async || rig.metrics().await.tunnels == 1).await;
    // A second replica has an ordinary request in flight.
    old.generation = 2;
    old.replicas = vec![old.replicas[0].clone(), Replica { id: "slow".into(), address: slow.address, release: 1 }];
    rig.client.put(&old).await.unwrap();
    let address = rig.address;
    let request = tokio::spawn(async move { get(address, "a.test", "/slow?1200").await });
    until("it runs", async || slow.seen() == 1).await;
    let mut next = route("svc", 3, &["a.test"], &[new.address]);
    next.policy.websocket_drain_ms = Some(300);
    rig.client.put(&next).await.unwrap();
    let begin = std::time::Instant::now();
    let leaving = ["g1-0".to_owned(), "slow".to_owned()];
    let (drained, closed) = tokio::join!(rig.client.drain("svc", &leaving, Some(Duration::from_secs(10))), socket.next());
    let drained = drained.unwrap();
    assert!(matches!(closed, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1012));
    assert_eq!(drained.cut, 1, "the socket; the request ended by itself");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(request.await.unwrap().body, "slow");
    let seen = rig.client.seen("svc").await.unwrap().unwrap();
    assert_eq!(seen.releases.iter().map(|metrics| (metrics.release, metrics.cut)).collect::<Vec<_>>(), [(1, 1), (3, 0)]);
}

/// The claim of the issue at its size; the numbers are printed (`--no-capture`).
#[tokio::test]
async fn ten_thousand_routes_load_and_change_quickly() {
    let mut rig = Rig::start().await;
    let folder = rig.config.state_dir.join("routes");
    for number in 0..10_000 {
        // As the ingress itself writes them, without ten thousand syncs.
        let route = route(&format!("s{number}"), 1, &[&format!("h{number}.test")], &[]);
        let body = serde_json::to_vec(&serde_json::json!({"service": route.service, "generation": 1, "route": route})).unwrap();
        let sum: String = <sha2::Sha256 as sha2::Digest>::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut text = format!("seaway-route/1 sha256={sum}\n").into_bytes();
        text.extend_from_slice(&body);
        std::fs::write(folder.join(format!("s{number}.route")), text).unwrap();
    }
    let begin = std::time::Instant::now();
    rig.restart().await;
    let load = begin.elapsed();
    assert_eq!(rig.client.health().await.unwrap().hosts, 10_000);
    let backend = Backend::start("one").await;
    let mut slowest = Duration::ZERO;
    for generation in 2..22 {
        let begin = std::time::Instant::now();
        let host = format!("new{generation}.test");
        rig.client.put(&route("s5000", generation, &[&host], &[backend.address])).await.unwrap();
        slowest = slowest.max(begin.elapsed());
        assert_eq!(get(rig.address, &host, "/").await.body, "one");
    }
    println!("10,000 routes: load {load:?}, slowest of 20 changes of a host {slowest:?} (debug build, syncs included)");
    assert!(load < Duration::from_secs(20), "{load:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

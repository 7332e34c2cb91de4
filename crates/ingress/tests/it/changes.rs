//! The admin API: fencing, owners of hosts, draining.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use http_body_util::BodyExt;
use ingress::{ClientError, RouteState, wire::RefusalCode};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

use crate::{
    backend::{Backend, websocket_echo},
    rig::{KeepAlive, Rig, empty, get, request, route, until},
};

#[tokio::test]
async fn an_overtaken_worker_is_refused() {
    let (rig, old, new) = (Rig::start().await, Backend::start("old").await, Backend::start("new").await);
    rig.serve(5, &[new.address]).await;
    let stale = rig.client.put(&route("svc", 4, &["a.test"], &[old.address])).await.unwrap_err();
    assert!(matches!(stale, ClientError::StaleGeneration { stored: 5, .. }), "{stale:?}");
    assert!(!stale.is_temporary());
    assert_eq!(rig.get("/").await.body, "new");
    // The same again is harmless; the same generation may go on with further steps.
    rig.serve(5, &[new.address]).await;
    rig.serve(5, &[old.address]).await;
    assert_eq!(rig.get("/").await.body, "old");

    let stale = rig.client.delete("svc", 4).await.unwrap_err();
    assert!(matches!(stale, ClientError::StaleGeneration { stored: 5, .. }), "{stale:?}");
    rig.client.delete("svc", 6).await.unwrap();
    assert_eq!(rig.get("/").await.status, StatusCode::NOT_FOUND);
    assert_eq!(rig.client.find("svc").await.unwrap(), None);
    let stale = rig.client.put(&route("svc", 5, &["a.test"], &[old.address])).await.unwrap_err();
    assert!(matches!(stale, ClientError::StaleGeneration { stored: 6, .. }), "a removed service does not come back: {stale:?}");
    rig.serve(7, &[new.address]).await;
    assert_eq!(rig.get("/").await.body, "new");
}

#[tokio::test]
async fn a_host_has_one_owner() {
    let (rig, one, two) = (Rig::start().await, Backend::start("one").await, Backend::start("two").await);
    rig.client.put(&route("one", 1, &["x.test", "one.test"], &[one.address])).await.unwrap();
    let conflict = rig.client.put(&route("two", 1, &["two.test", "x.test"], &[two.address])).await.unwrap_err();
    assert!(matches!(&conflict, ClientError::HostConflict { host, owner } if host == "x.test" && owner == "one"), "{conflict:?}");
    assert_eq!(get(rig.address, "x.test", "/").await.body, "one");
    assert_eq!(get(rig.address, "two.test", "/").await.status, StatusCode::NOT_FOUND, "a refused change changes nothing");

    rig.client.put(&route("one", 2, &["one.test"], &[one.address])).await.unwrap();
    assert_eq!(get(rig.address, "x.test", "/").await.status, StatusCode::NOT_FOUND);
    rig.client.put(&route("two", 1, &["two.test", "x.test"], &[two.address])).await.unwrap();
    assert_eq!(get(rig.address, "x.test", "/").await.body, "two");

    rig.client.delete("one", 3).await.unwrap();
    rig.client.put(&route("two", 2, &["x.test", "one.test"], &[two.address])).await.unwrap();
    assert_eq!(get(rig.address, "one.test", "/").await.body, "two");
    assert_eq!(rig.client.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_invalid_route_is_refused_and_the_active_one_stays() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let good = || route("svc", 2, &["a.test"], &[backend.address]);
    let mut bad = vec![good(), good(), good(), good(), good(), good(), good()];
    bad[0].hosts = vec!["A.test".to_owned()];
    bad[1].hosts = vec!["a.test".to_owned(), "a.test".to_owned()];
    bad[2].replicas.clear();
    bad[3].replicas[0].address = "0.0.0.0:80".parse().unwrap();
    bad[4].replicas[0].id = "../x".to_owned();
    bad[5].request_timeout_ms = 0;
    bad[6].hosts = vec!["a.test:80".to_owned()];
    for route in bad {
        let refused = rig.client.put(&route).await.unwrap_err();
        assert!(matches!(refused, ClientError::Refused { code: RefusalCode::Invalid, status: 422, .. }), "{route:?}: {refused:?}");
    }
    assert_eq!(rig.client.find("svc").await.unwrap().unwrap().generation, 1);
    assert_eq!(rig.get("/").await.body, "one");
    let missing = rig.client.drain("nobody", &["x".to_owned()], None).await.unwrap_err();
    assert!(matches!(missing, ClientError::Refused { code: RefusalCode::NotFound, .. }), "{missing:?}");
}

#[tokio::test]
async fn a_drain_waits_for_what_is_in_flight() {
    let (rig, old, new) = (Rig::start().await, Backend::start("old").await, Backend::start("new").await);
    rig.serve(1, &[old.address]).await;
    let routed = rig.client.drain("svc", &["g1-0".to_owned()], None).await.unwrap_err();
    assert!(matches!(routed, ClientError::Refused { code: RefusalCode::ReplicaRouted, .. }), "{routed:?}");

    let address = rig.address;
    let slow = tokio::spawn(async move { get(address, "a.test", "/slow?700").await });
    until("it runs", async || old.seen() == 1).await;
    rig.serve(2, &[new.address]).await;
    assert_eq!(rig.get("/").await.body, "new");
    let begin = Instant::now();
    let drained = rig.client.drain("svc", &["g1-0".to_owned()], Some(Duration::from_secs(10))).await.unwrap();
    assert_eq!(drained.cut, 0);
    assert!(drained.waited_ms >= 300 && begin.elapsed() < Duration::from_secs(5), "{drained:?}");
    let answer = slow.await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "old"), "it ended with its own answer");
    let again = rig.client.drain("svc", &["g1-0".to_owned()], None).await.unwrap();
    assert_eq!((again.cut, again.waited_ms < 100), (0, true));
}

#[tokio::test]
async fn after_the_grace_everything_left_is_ended_and_counted() {
    let (rig, old, new) = (Rig::start().await, Backend::start("old").await, Backend::start("new").await);
    rig.serve(1, &[old.address]).await;
    let address = rig.address;
    let slow = tokio::spawn(async move { get(address, "a.test", "/slow?60000").await });
    let open = |path: &'static str| async move {
        KeepAlive::open(address).await.unwrap().start(request("a.test", path).body(empty()).unwrap()).await.unwrap().into_body()
    };
    let (events, endless) = (open("/events").await, open("/endless").await);
    until("all run", async || rig.metrics().await.in_flight == 3).await;
    rig.serve(2, &[new.address]).await;
    let drained = rig.client.drain("svc", &["g1-0".to_owned()], Some(Duration::from_millis(300))).await.unwrap();
    assert_eq!(drained.cut, 3);
    assert!((300..5_000).contains(&drained.waited_ms), "{drained:?}");
    let answer = slow.await.unwrap();
    assert_eq!((answer.status, answer.headers["seaway-error"].to_str().unwrap()), (StatusCode::GATEWAY_TIMEOUT, "drain_ended"));
    events.collect().await.expect("an event stream ends cleanly");
    assert!(endless.collect().await.is_err(), "a truncated body must be seen as truncated");
    assert_eq!((rig.metrics().await.cut, rig.metrics().await.in_flight), (3, 0));
}

#[tokio::test]
async fn a_websocket_lives_through_the_grace_and_is_closed_with_1012() {
    let (rig, new) = (Rig::start().await, Backend::start("new").await);
    rig.serve(1, &[websocket_echo().await]).await;
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://a.test/", stream).await.unwrap();
    socket.send(Message::text("before")).await.unwrap();
    socket.next().await.unwrap().unwrap();

    rig.serve(2, &[new.address]).await;
    assert_eq!(rig.get("/").await.body, "new", "new requests reach the new release at once");
    let client = rig.client.clone();
    let drain = tokio::spawn(async move { client.drain("svc", &["g1-0".to_owned()], Some(Duration::from_millis(600))).await.unwrap() });
    for count in 0..5 {
        socket.send(Message::text(format!("during {count}"))).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(format!("during {count}")));
    }
    let closed = socket.next().await.unwrap().unwrap();
    let Message::Close(Some(frame)) = closed else { panic!("no close frame but {closed:?}") };
    assert_eq!(frame.code, CloseCode::Restart);
    assert!(socket.next().await.is_none_or(|last| last.is_err()), "nothing comes after it");
    let drained = drain.await.unwrap();
    assert_eq!(drained.cut, 1);
    assert!(drained.waited_ms >= 600, "{drained:?}");
}

#[tokio::test]
async fn a_removed_service_drains_too() {
    let (rig, old) = (Rig::start().await, Backend::start("old").await);
    rig.serve(1, &[old.address]).await;
    let address = rig.address;
    let slow = tokio::spawn(async move { get(address, "a.test", "/slow?400").await });
    until("it runs", async || old.seen() == 1).await;
    rig.client.delete("svc", 2).await.unwrap();
    let drained = rig.client.drain("svc", &["g1-0".to_owned()], Some(Duration::from_secs(10))).await.unwrap();
    assert_eq!((drained.cut, drained.waited_ms >= 100), (0, true), "{drained:?}");
    assert_eq!(slow.await.unwrap().body, "old");
}

#[tokio::test]
async fn health_tells_what_is_served() {
    let rig = Rig::start().await;
    rig.client.put(&route("svc", 1, &["a.test", "b.test"], &[])).await.unwrap();
    let health = rig.client.health().await.unwrap();
    assert_eq!((health.status.as_str(), health.services, health.hosts, health.warnings.len()), ("ok", 1, 2, 0));
    assert_eq!(health.pid, std::process::id());
    assert_eq!(rig.client.list().await.unwrap()[0].state, RouteState::Deploying);
}

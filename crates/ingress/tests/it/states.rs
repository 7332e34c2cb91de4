//! What a visitor sees when no app answers.

use std::time::{Duration, Instant};

use http::StatusCode;
use ingress::RouteState;

use crate::{
    backend::Backend,
    rig::{Rig, empty, get, request, route, send, until},
};

#[tokio::test]
async fn every_state_has_its_page() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    for (generation, state, status, code) in
        [(1, RouteState::Deploying, 503, "deploying"), (2, RouteState::Crashed, 502, "crashed"), (3, RouteState::Stopped, 503, "stopped")]
    {
        let mut route = route("svc", generation, &["a.test"], &[backend.address]);
        route.state = state;
        rig.client.put(&route).await.unwrap();
        for accept in ["text/html,application/xhtml+xml", "application/json"] {
            let asked = request("a.test", "/").header("accept", accept).body(empty()).unwrap();
            let answer = send(rig.address, asked).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.headers["seaway-error"].to_str().unwrap()), (status, code));
            let id = answer.headers["x-request-id"].to_str().unwrap();
            assert!(answer.body.contains(id), "{}", answer.body);
            assert_eq!(answer.headers["cache-control"], "no-store");
            if accept.contains("html") {
                assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/html"));
                assert!(answer.body.starts_with("<!doctype html>"), "{}", answer.body);
            } else {
                assert_eq!(answer.headers["content-type"], "application/problem+json");
                assert!(answer.body.contains(&format!("\"status\":{status}")), "{}", answer.body);
            }
        }
        assert_eq!(rig.get("/").await.headers.contains_key("retry-after"), state == RouteState::Deploying);
    }
    assert_eq!(backend.seen(), 0, "no state but serving lets a request through");
}

#[tokio::test]
async fn an_unknown_host_is_a_404_and_never_another_app() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    for host in ["b.test", "test", "x.a.test", "a.test.evil", "127.0.0.1", "[::1]", "localhost"] {
        let answer = get(rig.address, host, "/").await;
        assert_eq!((answer.status, answer.headers["seaway-error"].to_str().unwrap()), (StatusCode::NOT_FOUND, "unknown_host"), "{host}");
    }
    assert_eq!(backend.seen(), 0);
    assert_eq!(rig.client.metrics().await.unwrap().unknown_host, 7);
}

#[tokio::test]
async fn held_requests_are_served_after_the_hand_over_and_the_gap_is_told() {
    let (rig, old, new) = (Rig::start().await, Backend::start("old").await, Backend::start("new").await);
    rig.serve(1, &[old.address]).await;
    let mut holding = route("svc", 2, &["a.test"], &[old.address]);
    holding.state = RouteState::Holding;
    rig.client.put(&holding).await.unwrap();
    assert_eq!(rig.client.drain("svc", &["g1-0".to_owned()], Some(Duration::from_secs(1))).await.unwrap().cut, 0);

    let address = rig.address;
    let waiting: Vec<_> = (0..20).map(|_| tokio::spawn(async move { get(address, "a.test", "/").await })).collect();
    until("all wait", async || rig.metrics().await.held == 20).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.serve(3, &[new.address]).await;
    for request in waiting {
        let answer = request.await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "new"));
    }
    assert_eq!(old.seen(), 0);
    let metrics = rig.metrics().await;
    assert_eq!((metrics.held, metrics.in_flight, metrics.ingress_5xx), (0, 0, 0));
    assert!((100..5_000).contains(&metrics.hold_gap_ms.unwrap()), "{metrics:?}");
}

#[tokio::test]
async fn holding_is_bounded_in_time_and_number() {
    let rig = Rig::with(|config| {
        config.limits.hold_timeout_ms = 400;
        config.limits.held_per_service_max = 2;
    })
    .await;
    let mut holding = route("svc", 1, &["a.test"], &[]);
    holding.state = RouteState::Holding;
    rig.client.put(&holding).await.unwrap();
    let address = rig.address;
    let begin = Instant::now();
    let waiting: Vec<_> = (0..2).map(|_| tokio::spawn(async move { get(address, "a.test", "/").await })).collect();
    until("two wait", async || rig.metrics().await.held == 2).await;
    // A change that keeps holding does not prolong the wait.
    holding.generation = 2;
    rig.client.put(&holding).await.unwrap();
    let third = rig.get("/").await;
    assert_eq!(third.headers["seaway-error"], "too_many_requests_in_flight");
    for request in waiting {
        let answer = request.await.unwrap();
        assert_eq!((answer.status, answer.headers["seaway-error"].to_str().unwrap()), (StatusCode::SERVICE_UNAVAILABLE, "held_too_long"));
    }
    assert!(begin.elapsed() >= Duration::from_millis(400) && begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

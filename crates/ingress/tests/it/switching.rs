//! A hundred switches under constant load, and a graceful stop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Method, StatusCode};

use crate::{
    backend::Backend,
    rig::{KeepAlive, Rig, empty, full, get, request, route},
};

const SWITCHES: u64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_switches_cost_no_request_and_never_go_back() {
    let rig = Rig::start().await;
    let mut backend = Backend::start("1").await;
    rig.serve(1, &[backend.address]).await;
    // The newest release that is acknowledged: a request that begins later must not see an older one.
    let acknowledged = Arc::new(AtomicU64::new(1));
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicU64::new(0));
    let mut clients = Vec::new();
    for kind in 0..6u64 {
        let (address, acknowledged, stop, served) = (rig.address, Arc::clone(&acknowledged), Arc::clone(&stop), Arc::clone(&served));
        clients.push(tokio::spawn(async move {
            let mut kept = KeepAlive::open(address).await.unwrap();
            let mut failures = Vec::new();
            // Open loop: requests begin at fixed times, however long the one before took.
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            let mut running = tokio::task::JoinSet::new();
            while !stop.load(Ordering::Relaxed) {
                tick.tick().await;
                let least = acknowledged.load(Ordering::SeqCst);
                let result = match kind {
                    0..=2 => kept.send(request("a.test", "/").body(empty()).unwrap()).await,
                    3 => crate::rig::send(address, request("a.test", "/").body(empty()).unwrap()).await,
                    4 => {
                        let post = request("a.test", "/echo").method(Method::POST).body(full(least.to_string())).unwrap();
                        kept.send(post).await
                    }
                    _ => {
                        running.spawn(async move { get(address, "a.test", "/slow?30").await });
                        continue;
                    }
                };
                match result {
                    Ok(answer) if answer.status == StatusCode::OK && answer.body.parse::<u64>().unwrap() >= least => {
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                    other => failures.push(format!("client {kind} at least {least}: {other:?}")),
                }
            }
            while let Some(answer) = running.join_next().await {
                let answer = answer.unwrap();
                if answer.status == StatusCode::OK {
                    served.fetch_add(1, Ordering::Relaxed);
                } else {
                    failures.push(format!("{answer:?}"));
                }
            }
            failures
        }));
    }
    for generation in 2..=SWITCHES + 1 {
        let next = Backend::start(&generation.to_string()).await;
        rig.serve(generation, &[next.address]).await;
        acknowledged.store(generation, Ordering::SeqCst);
        let old = format!("g{}-0", generation - 1);
        let drained = rig.client.drain("svc", &[old], Some(Duration::from_secs(5))).await.unwrap();
        assert_eq!(drained.cut, 0);
        drop(std::mem::replace(&mut backend, next)); // the old app is gone: a late request to it would fail
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut failures = Vec::new();
    for client in clients {
        failures.extend(client.await.unwrap());
    }
    assert!(failures.is_empty(), "{} failed, first: {:?}", failures.len(), failures.first());
    let served = served.load(Ordering::Relaxed);
    let metrics = rig.metrics().await;
    assert!(served > 500, "only {served} requests");
    assert_eq!((metrics.requests, metrics.status_2xx, metrics.ingress_5xx, metrics.cut), (served, served, 0, 0));
}

#[tokio::test]
async fn a_stop_finishes_what_runs_and_refuses_what_is_new() {
    let (mut rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let address = rig.address;
    let slow = tokio::spawn(async move { get(address, "a.test", "/slow?400").await });
    crate::rig::until("it runs", async || backend.seen() == 1).await;
    let begin = std::time::Instant::now();
    rig.ingress.take().unwrap().stop().await;
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    let answer = slow.await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "one"));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn many_services_do_not_slow_a_change_down() {
    let rig = Rig::start().await;
    for index in 0..300 {
        let host = format!("h{index}.test");
        rig.client.put(&route(&format!("s{index}"), 1, &[&host], &[])).await.unwrap();
    }
    let backend = Backend::start("one").await;
    let begin = std::time::Instant::now();
    rig.serve(1, &[backend.address]).await;
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(rig.get("/").await.body, "one");
}

#[tokio::test]
async fn run_ends_with_its_signal_and_an_impossible_address_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let mut config = ingress::IngressConfig::new(vec!["127.0.0.1:0".parse().unwrap()], socket.clone(), folder.path().join("state"));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(ingress::run(config.clone(), async move {
        let _told = stopped.await;
    }));
    let client = ingress::IngressClient::new(&socket);
    crate::rig::until("it answers", async || client.health().await.is_ok()).await;
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    let gone = client.health().await.unwrap_err();
    assert!(gone.is_temporary() && gone.to_string().contains("admin.sock"), "{gone}");

    config.listen = vec!["192.0.2.1:1".parse().unwrap()];
    let error = ingress::run(config, std::future::pending()).await.unwrap_err();
    assert!(error.to_string().contains("192.0.2.1:1"), "{error}");
}

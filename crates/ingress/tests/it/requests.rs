//! Ordinary requests, over HTTP/1.1 and HTTP/2, and what crosses with them.

use http::{Method, Request, StatusCode, Version};
use http_body_util::BodyExt;

use crate::{
    backend::{Backend, nobody, scripted},
    rig::{KeepAlive, Rig, collect, empty, full, get, http2, raw, request, route, send},
};

#[tokio::test]
async fn keep_alive_serves_many_requests_over_few_connections() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let mut connection = KeepAlive::open(rig.address).await.unwrap();
    for _ in 0..50 {
        let answer = connection.send(request("a.test", "/").body(empty()).unwrap()).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "one"));
        assert_eq!(answer.headers["x-request-id"].len(), 36);
    }
    let metrics = rig.metrics().await;
    assert_eq!((metrics.requests, metrics.status_2xx, metrics.ingress_5xx, metrics.in_flight), (50, 50, 0, 0));
}

#[tokio::test]
async fn http2_without_tls_is_served_with_joined_cookies() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let sender = http2(rig.address).await;
    let mut answers = Vec::new();
    for index in 0..20 {
        let request = Request::builder()
            .version(Version::HTTP_2)
            .uri(format!("http://A.Test:80/headers?{index}"))
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(empty())
            .unwrap();
        answers.push(tokio::spawn(sender.clone().send_request(request)));
    }
    for answer in answers {
        let answer = collect(answer.await.unwrap().unwrap()).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.body.contains("cookie: a=1; b=2"), "{}", answer.body);
        assert!(answer.body.contains("host: A.Test:80"), "{}", answer.body);
    }
    assert_eq!(rig.metrics().await.status_2xx, 20);
}

#[tokio::test]
async fn a_host_is_found_by_any_spelling() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    for host in ["a.test", "A.TEST", "a.test.", "a.test:80", "A.test.:8080"] {
        assert_eq!(get(rig.address, host, "/").await.body, "one", "{host}");
    }
    let absolute = raw(rig.address, b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    assert!(absolute.ends_with("one"), "{absolute}");
}

#[tokio::test]
async fn ambiguous_hosts_are_refused() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    for head in [
        "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n",
        "GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n",
        "GET / HTTP/1.1\r\nHost: user@a.test\r\n",
        "GET / HTTP/1.1\r\nHost: a.test/x\r\n",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n",
    ] {
        let answer = raw(rig.address, format!("{head}Connection: close\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?} gave {answer}");
    }
    assert_eq!(backend.seen(), 0);
}

#[tokio::test]
async fn only_our_word_on_the_client_reaches_the_app() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let hostile = "GET /headers HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 6.6.6.6\r\nx_forwarded_for: 6.6.6.6\r\n\
        X-FORWARDED-HOST: evil\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Request-Id: evil\r\nX-Forwarded-Proto: evil\r\n\
        Connection: close, x-forwarded-for, X-Request-ID, x-drop\r\nX-Drop: evil\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX-Keep: 1\r\n\r\n";
    let answer = raw(rig.address, hostile.as_bytes()).await;
    let (_, seen) = answer.split_once("GET /headers\n").unwrap_or_else(|| panic!("{answer}"));
    assert!(!seen.contains("evil") && !seen.contains("6.6.6.6") && !seen.contains("h2c"), "{seen}");
    for line in ["x-forwarded-for: 127.0.0.1", "x-forwarded-host: a.test", "x-forwarded-proto: http", "x-keep: 1", "host: a.test"] {
        assert_eq!(seen.lines().filter(|given| *given == line).count(), 1, "{line} in {seen}");
    }
    assert!(seen.contains(&format!("x-forwarded-port: {}", rig.address.port())), "{seen}");
    assert!(seen.contains("x-request-id: 0") && seen.contains("x-request-start: 1"), "{seen}");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let rig = Rig::with(|config| config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    let backend = Backend::start("one").await;
    rig.serve(1, &[backend.address]).await;
    let request = request("a.test", "/headers")
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-forwarded-proto", "https")
        .header("x-request-id", "from-the-edge")
        .body(empty())
        .unwrap();
    let answer = send(rig.address, request).await.unwrap();
    for line in ["x-forwarded-for: 203.0.113.9, 127.0.0.1", "x-forwarded-proto: https", "x-request-id: from-the-edge"] {
        assert!(answer.body.contains(line), "{line} in {}", answer.body);
    }
    assert_eq!(answer.headers["x-request-id"], "from-the-edge");
}

#[tokio::test]
async fn hop_by_hop_headers_of_the_app_stay_behind() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let answer = rig.get("/hop").await;
    assert_eq!(answer.headers["x-app"], "2");
    for gone in ["x-internal", "keep-alive", "connection"] {
        assert!(!answer.headers.contains_key(gone), "{gone}: {:?}", answer.headers);
    }
}

#[tokio::test]
async fn head_and_options_keep_their_meaning() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let head = request("a.test", "/").method(Method::HEAD).body(empty()).unwrap();
    let answer = send(rig.address, head).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str(), answer.headers["content-length"].to_str().unwrap()), (StatusCode::OK, "", "3"));
    let options = raw(rig.address, b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await;
    assert!(options.starts_with("HTTP/1.1 200"), "{options}");
    for method in ["TRACE", "CONNECT"] {
        let target = if method == "CONNECT" { "a.test:80" } else { "/" };
        let refused =
            raw(rig.address, format!("{method} {target} HTTP/1.1\r\nHost: a.test:80\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert!(refused.starts_with("HTTP/1.1 405"), "{method}: {refused}");
    }
}

#[tokio::test]
async fn trailers_cross_both_protocols() {
    let (rig, backend) = (Rig::start().await, Backend::start("one").await);
    rig.serve(1, &[backend.address]).await;
    let over1 = request("a.test", "/trailers").header("te", "trailers").header("connection", "te").body(empty()).unwrap();
    let response = KeepAlive::open(rig.address).await.unwrap().start(over1).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "42");

    let over2 = Request::builder().version(Version::HTTP_2).uri("http://a.test/trailers").header("te", "trailers").body(empty()).unwrap();
    let response = http2(rig.address).await.send_request(over2).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "42");
}

#[tokio::test]
async fn a_dead_replica_costs_no_request() {
    let (rig, backend) = (Rig::start().await, Backend::start("alive").await);
    rig.serve(1, &[nobody().await, backend.address]).await;
    for _ in 0..20 {
        let post = request("a.test", "/echo").method(Method::POST).body(full("hello")).unwrap();
        let answer = send(rig.address, post).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "hello"));
    }
    let metrics = rig.metrics().await;
    assert!((1..=2).contains(&metrics.retries), "a replica that is down is passed over: {metrics:?}");
}

#[tokio::test]
async fn nothing_alive_is_a_502_page() {
    let rig = Rig::start().await;
    rig.serve(1, &[nobody().await]).await;
    let answer = rig.get("/").await;
    assert_eq!((answer.status, answer.headers["seaway-error"].to_str().unwrap()), (StatusCode::BAD_GATEWAY, "unreachable"));
    assert_eq!(rig.metrics().await.ingress_5xx, 1);
}

#[tokio::test]
async fn a_request_that_an_app_may_have_seen_is_not_sent_twice() {
    let rig = Rig::start().await;
    let (address, connections) = scripted(b"").await;
    rig.serve(1, &[address]).await;
    for method in [Method::POST, Method::GET] {
        connections.store(0, std::sync::atomic::Ordering::SeqCst);
        let sent = request("a.test", "/").method(method.clone()).body(full(if method == Method::POST { "x" } else { "" })).unwrap();
        let answer = send(rig.address, sent).await.unwrap();
        assert_eq!((answer.status, answer.headers["seaway-error"].to_str().unwrap()), (StatusCode::BAD_GATEWAY, "bad_answer"));
        assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 1, "{method} on a fresh connection");
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_app_closed_is_replaced() {
    let rig = Rig::start().await;
    // Each connection answers one request as if it stayed open, then closes.
    let (address, connections) = scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    rig.serve(1, &[address]).await;
    for _ in 0..100 {
        let answer = rig.get("/").await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "ok"));
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 100);
}

#[tokio::test]
async fn connections_to_apps_are_not_shared_between_services() {
    let (rig, one, two) = (Rig::start().await, Backend::start("one").await, Backend::start("two").await);
    rig.client.put(&route("svc_1", 1, &["one.test"], &[one.address])).await.unwrap();
    rig.client.put(&route("svc_2", 1, &["two.test"], &[two.address])).await.unwrap();
    let mut connection = KeepAlive::open(rig.address).await.unwrap();
    for (host, wanted) in [("one.test", "one"), ("two.test", "two"), ("one.test", "one"), ("two.test", "two")] {
        assert_eq!(connection.send(request(host, "/").body(empty()).unwrap()).await.unwrap().body, wanted);
    }
    assert_eq!((one.seen(), two.seen()), (2, 2));
}

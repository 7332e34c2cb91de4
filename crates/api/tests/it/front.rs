//! Before the gate: hosts, request ids; at its door: whoever guesses tokens.

use std::sync::Arc;
use std::time::Duration;

use api::rate::{Quota, Quotas};
use reqwest::Method;
use testkit::scripted::ScriptedServer;
use testkit::{As, Backend, TestServer};

#[tokio::test]
async fn another_host_is_refused_and_health_may_be_asked_by_address() {
    let server = TestServer::new().await.unwrap();
    let ask = async |path: &str, host: &str| server.send(server.plain(Method::GET, path).header("host", host)).await.unwrap();
    for path in ["/api/v1/instance/public", "/setup", "/nothing", "/health"] {
        let refused = ask(path, "evil.example").await.expect_problem(421, "host-unknown").unwrap();
        assert_eq!(refused.json["request_id"].as_str(), refused.header("request-id"), "{path}");
        assert_eq!(refused.header("x-content-type-options"), Some("nosniff"));
    }
    for host in ["localhost:8080", "localhost", "127.0.0.1", "[::1]:1"] {
        ask("/setup", host).await.expect(200).unwrap();
    }
    ask("/health", "192.0.2.1:80").await.expect(200).unwrap();
    ask("/health/live", "192.0.2.1:80").await.expect(200).unwrap();
    ask("/setup", "192.0.2.1:80").await.expect_problem(421, "host-unknown").unwrap();
    // What a client says about forwarding counts only from a configured proxy.
    let forged = server.plain(Method::GET, "/setup").header("host", "evil.example").header("x-forwarded-host", "localhost");
    server.send(forged).await.unwrap().expect_problem(421, "host-unknown").unwrap();
}

#[tokio::test]
async fn unknown_addresses_and_pages_have_one_request_id() {
    let server = TestServer::new().await.unwrap();
    let absent = server.send(server.plain(Method::GET, "/nothing")).await.unwrap().expect_problem(404, "not-found").unwrap();
    assert_eq!(absent.json["request_id"].as_str(), absent.header("request-id"));
    assert!(absent.text_at("/request_id").starts_with("req_"), "{}", absent.text);
}

#[tokio::test]
async fn whoever_guesses_is_stopped_and_others_behind_the_same_address_are_not() {
    let generous = Quota { requests: 1_000_000, window: Duration::from_secs(60) };
    let few = Quota { requests: 3, window: Duration::from_secs(3600) };
    let quotas = Quotas { default: generous, deploy: generous, login: generous, failure: few };
    let server = TestServer::limited(Backend::Sqlite, Arc::new(ScriptedServer::default()), quotas).await.unwrap();
    let owner = server.owner().await.unwrap();
    let token = server.token(&owner, &["organization:read"]).await.unwrap();
    server.get("/me", As::Token(&token)).await.unwrap().expect(200).unwrap();
    let unused = server.token(&owner, &["organization:read"]).await.unwrap();
    for _ in 0..3 {
        server.get("/me", As::Token("sea_pat_wrong")).await.unwrap().expect_problem(401, "unauthenticated").unwrap();
    }
    let stopped = server.get("/me", As::Token("sea_pat_wrong")).await.unwrap().expect_problem(429, "rate-limited").unwrap();
    assert!(stopped.header("retry-after").is_some() && stopped.text.contains("failure"), "{}", stopped.text);
    // Not looked up at all: even one that is right is refused, unless it was right a while ago.
    server.get("/me", As::Token(&unused)).await.unwrap().expect_problem(429, "rate-limited").unwrap();
    server.get("/me", As::Token(&token)).await.unwrap().expect(200).unwrap();
    server.get("/me", As::Session(&owner)).await.unwrap().expect(200).unwrap();
    // What is open to everybody stays open.
    server.get("/instance/public", As::Nobody).await.unwrap().expect(200).unwrap();
}

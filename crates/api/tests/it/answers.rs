//! The shape of every answer: problems instead of plain texts, headers, pages of the codes, idempotency.

use contract::Code;
use reqwest::Method;
use serde_json::json;
use testkit::{As, Reply, TestServer};

fn has_security_headers(reply: &Reply) {
    for name in ["x-content-type-options", "content-security-policy", "referrer-policy", "x-frame-options", "cache-control"] {
        assert!(reply.header(name).is_some(), "{} lacks {name}", reply.request);
    }
}

#[tokio::test]
async fn no_error_leaves_as_plain_text() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let post = |path: &str| server.request(Method::POST, path, As::Session(&owner));
    let json_type = ("content-type", "application/json");
    let cases = [
        (server.plain(Method::GET, "/nowhere"), 404, "not-found"),
        (server.plain(Method::GET, "/api/v1/nowhere"), 404, "not-found"),
        (server.plain(Method::GET, "/problems/nonsense"), 404, "not-found"),
        (server.request(Method::DELETE, "/organizations", As::Session(&owner)), 405, "method-not-allowed"),
        (server.request(Method::TRACE, "/me", As::Session(&owner)), 405, "method-not-allowed"),
        (post("/organizations").header(json_type.0, json_type.1).body("{"), 400, "bad-request"),
        (post("/organizations").header(json_type.0, json_type.1).body("{} {}"), 422, "invalid"),
        (post("/organizations").header(json_type.0, json_type.1).body("[]"), 422, "invalid"),
        (post("/organizations").header("content-type", "text/plain").body("x"), 415, "media-type-unsupported"),
        (post("/organizations").json(&json!({ "name": "x".repeat(2_000_000) })), 413, "body-too-large"),
        (post("/organizations").json(&json!({ "name": "x", "nmae": "y" })), 422, "invalid"),
        (server.request(Method::GET, "/organizations?limit=0", As::Session(&owner)), 422, "invalid"),
        (server.request(Method::GET, "/organizations?limit=x", As::Session(&owner)), 422, "invalid"),
        (server.request(Method::GET, "/organizations?lmit=5", As::Session(&owner)), 422, "invalid"),
        (server.request(Method::GET, "/organizations?cursor=junk", As::Session(&owner)), 400, "cursor-invalid"),
        (server.request(Method::GET, "/organizations/%ff", As::Session(&owner)), 404, "not-found"),
        (server.request(Method::GET, "/organizations/a%2Fb", As::Session(&owner)), 404, "not-found"),
        (server.request(Method::GET, "/me", As::Nobody), 401, "unauthenticated"),
        (server.request(Method::GET, "/me", As::Nobody).header("authorization", "Basic x"), 401, "unauthenticated"),
    ];
    for (request, status, code) in cases {
        let reply = server.send(request).await.unwrap().expect_problem(status, code).unwrap();
        has_security_headers(&reply);
        let id = reply.json["request_id"].as_str().unwrap().to_owned();
        assert_eq!(reply.header("request-id"), Some(id.as_str()), "{}", reply.request);
        assert!(id.starts_with("req_"), "{id}");
        assert_eq!(reply.json["instance"], format!("urn:seaway:request:{id}"));
        assert!(reply.json["detail"].as_str().unwrap().len() > 10);
    }
    let unknown = server.post("/organizations", As::Session(&owner), json!({ "name": "x", "nmae": "y" })).await.unwrap();
    assert_eq!(unknown.json["errors"][0]["code"], "unknown-field");
    let missing = server.post("/organizations", As::Session(&owner), json!({})).await.unwrap();
    assert_eq!(missing.json["errors"][0]["pointer"], "/name");
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    for path in ["/api-docs", "/api-docs/reference.js", "/api/v1/openapi.json", "/health", "/health/live", "/problems/invalid"] {
        let reply = server.send(server.plain(Method::GET, path)).await.unwrap().expect(200).unwrap();
        has_security_headers(&reply);
    }
    let me = server.get("/me", As::Session(&owner)).await.unwrap().expect(200).unwrap();
    has_security_headers(&me);
    assert_eq!(me.header("cache-control"), Some("no-store"));
    assert!(me.header("request-id").unwrap().starts_with("req_"));
    assert!(me.header("ratelimit").is_some() && me.header("ratelimit-policy").is_some());
}

#[tokio::test]
async fn every_code_has_a_page() {
    let server = TestServer::new().await.unwrap();
    for code in Code::ALL {
        let page = server.send(server.plain(Method::GET, &format!("/problems/{}", code.text()))).await.unwrap().expect(200).unwrap();
        assert!(page.text.len() > 100, "docs/problems/{}.md is missing or empty", code.text());
    }
}

#[tokio::test]
async fn a_repeated_key_does_the_thing_once() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let token = server.token(&owner, &["*"]).await.unwrap();
    let url = "/api/v1/organizations";
    let post = |key: Option<&str>, name: &str| {
        let request = server.plain(Method::POST, url).bearer_auth(&token).json(&json!({ "name": name }));
        match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        }
    };
    server.send(post(None, "Once")).await.unwrap().expect_problem(400, "idempotency-key-missing").unwrap();
    let first = server.send(post(Some("\"a\""), "Once")).await.unwrap().expect(201).unwrap();
    let again = server.send(post(Some("a"), "Once")).await.unwrap().expect(201).unwrap();
    assert_eq!(
        (again.header("idempotent-replayed"), &again.text, again.header("location")),
        (Some("true"), &first.text, first.header("location"))
    );
    server.send(post(Some("\"a\""), "Other")).await.unwrap().expect_problem(422, "idempotency-key-reused").unwrap();
    // A request that failed may be mended and sent again under its key.
    server.send(post(Some("\"b\""), "")).await.unwrap().expect_problem(422, "invalid").unwrap();
    server.send(post(Some("\"b\""), "Mended")).await.unwrap().expect(201).unwrap();
    let list = server.get("/organizations", As::Token(&token)).await.unwrap().expect(200).unwrap();
    assert_eq!(list.json["data"].as_array().unwrap().len(), 3);
    server.clock.advance(chrono::TimeDelta::hours(25));
    server.send(post(Some("\"a\""), "Other")).await.unwrap().expect(201).unwrap();
}

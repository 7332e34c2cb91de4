//! Tokens: scopes, confinement, addresses, expiry.

use chrono::TimeDelta;
use serde_json::json;
use testkit::{As, TestServer};

#[tokio::test]
async fn a_token_does_what_its_scopes_and_its_owners_role_allow() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let guest = server.second_person().await.unwrap();
    server.join(&owner, &guest, "admin").await.unwrap();
    let path = format!("/organizations/{}/members", owner.organization);
    let all = server.token(&guest, &["*"]).await.unwrap();
    let narrow = server.token(&guest, &["organization:read"]).await.unwrap();
    assert!(all.starts_with("sea_pat_"));
    server.get(&path, As::Token(&all)).await.unwrap().expect(200).unwrap();
    let refused = server.get(&path, As::Token(&narrow)).await.unwrap().expect_problem(403, "scope-missing").unwrap();
    assert_eq!(refused.json["scope"], "members:read");
    // The current role counts.
    let rename =
        async || server.patch(&format!("/organizations/{}", owner.organization), As::Token(&all), json!({ "name": "New" })).await.unwrap();
    rename().await.expect(200).unwrap();
    server.patch(&format!("{path}/{}", guest.id), As::Session(&owner), json!({ "role": "viewer" })).await.unwrap().expect(200).unwrap();
    rename().await.expect_problem(403, "forbidden").unwrap();
    // A token makes no tokens and ends no sessions.
    for (path, body) in [("/me/tokens", json!({ "name": "x", "scopes": ["members:write"] })), ("/me/sessions/revoke-others", json!({}))] {
        server.post(path, As::Token(&all), body).await.unwrap().expect_problem(403, "forbidden").unwrap();
    }
    let me = server.get("/me", As::Token(&narrow)).await.unwrap().expect(200).unwrap();
    assert_eq!(me.json["token"]["scopes"], json!(["organization:read"]));
}

#[tokio::test]
async fn a_confined_token_sees_its_organization_only() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let second = server.post("/organizations", As::Session(&owner), json!({ "name": "Second" })).await.unwrap().expect(201).unwrap();
    let second = second.text_at("/id").to_owned();
    let body = json!({ "name": "one", "scopes": ["organization:read", "organization:write"], "organization": second });
    let token = server.token_with(&owner, body).await.unwrap();
    server.get(&format!("/organizations/{second}"), As::Token(&token)).await.unwrap().expect(200).unwrap();
    server
        .get(&format!("/organizations/{}", owner.organization), As::Token(&token))
        .await
        .unwrap()
        .expect_problem(404, "not-found")
        .unwrap();
    let list = server.get("/organizations", As::Token(&token)).await.unwrap().expect(200).unwrap();
    assert_eq!(list.json["data"].as_array().unwrap().len(), 1);
    server
        .post("/organizations", As::Token(&token), json!({ "name": "Third" }))
        .await
        .unwrap()
        .expect_problem(403, "scope-missing")
        .unwrap();
    let stranger = server.second_person().await.unwrap();
    let foreign = json!({ "name": "x", "scopes": ["organization:read"], "organization": second });
    let refused = server.post("/me/tokens", As::Session(&stranger), foreign).await.unwrap().expect_problem(422, "invalid").unwrap();
    assert_eq!(refused.json["errors"][0]["pointer"], "/organization");
}

#[tokio::test]
async fn a_token_is_shown_once_expires_warns_and_can_be_revoked() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let token = server.token_with(&owner, json!({ "name": " ci ", "scopes": ["organization:read"], "expires_in_days": 10 })).await.unwrap();
    let list = server.get("/me/tokens", As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!((list.json["data"][0]["name"].clone(), list.json["data"][0]["last_used_at"].clone()), (json!("ci"), json!(null)));
    assert!(!list.text.contains(&token));
    server.get("/me", As::Token(&token)).await.unwrap().expect(200).unwrap();
    let list = server.get("/me/tokens", As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert!(list.json["data"][0]["last_used_at"].is_string());
    assert_eq!(server.control.warn_of_expiring_tokens().await.unwrap(), 0);
    server.clock.advance(TimeDelta::days(4));
    assert_eq!(server.control.warn_of_expiring_tokens().await.unwrap(), 1);
    assert_eq!(server.control.warn_of_expiring_tokens().await.unwrap(), 0, "told once");
    server.work().await.unwrap();
    assert!(server.mailbox.newest(&owner.email, "token_expiring").is_some());
    assert!(server.mailbox.newest(&owner.email, "token_created").is_some());
    server.get("/me", As::Token(&token)).await.unwrap().expect(200).unwrap();
    server.clock.advance(TimeDelta::days(6));
    server.get("/me", As::Token(&token)).await.unwrap().expect_problem(401, "unauthenticated").unwrap();

    let owner = server.again(&owner).await.unwrap();
    let token = server.token(&owner, &["organization:read"]).await.unwrap();
    server.get("/me", As::Token(&token)).await.unwrap().expect(200).unwrap();
    let list = server.get("/me/tokens?limit=1", As::Session(&owner)).await.unwrap().expect(200).unwrap();
    let path = format!("/me/tokens/{}", list.text_at("/data/0/id"));
    server.delete(&path, As::Session(&owner)).await.unwrap().expect(204).unwrap();
    server.get("/me", As::Token(&token)).await.unwrap().expect_problem(401, "unauthenticated").unwrap();
    server.delete(&path, As::Session(&owner)).await.unwrap().expect_problem(404, "not-found").unwrap();
}

#[tokio::test]
async fn addresses_scopes_and_days_are_checked() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let body = |addresses: serde_json::Value| json!({ "name": "net", "scopes": ["organization:read"], "addresses": addresses });
    let elsewhere = server.token_with(&owner, body(json!(["192.0.2.0/24", "2001:db8::/32"]))).await.unwrap();
    server.get("/me", As::Token(&elsewhere)).await.unwrap().expect_problem(403, "address-forbidden").unwrap();
    let here = server.token_with(&owner, body(json!(["127.0.0.1"]))).await.unwrap();
    server.get("/me", As::Token(&here)).await.unwrap().expect(200).unwrap();
    for (request, pointer) in [
        (body(json!(["not a network"])), "/addresses/0"),
        (body(json!([])), "/addresses"),
        (json!({ "name": "x", "scopes": [] }), "/scopes"),
        (json!({ "name": " ", "scopes": ["organization:read"] }), "/name"),
        (json!({ "name": "x", "scopes": ["organization:read"], "expires_in_days": 366 }), "/expires_in_days"),
    ] {
        let refused = server.post("/me/tokens", As::Session(&owner), request).await.unwrap().expect_problem(422, "invalid").unwrap();
        assert_eq!(refused.json["errors"][0]["pointer"], pointer);
    }
    let changed = format!("{}x", &here[..here.len() - 1]);
    for junk in ["", "sea_pat_x", changed.as_str(), "Bearer"] {
        server.get("/me", As::Token(junk)).await.unwrap().expect_problem(401, "unauthenticated").unwrap();
    }
}

#[tokio::test]
async fn a_token_has_a_budget_of_its_own_and_may_come_in_another_header() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let body = json!({ "name": "slow", "scopes": ["organization:read"], "rate": { "requests": 2, "window_seconds": 3600 } });
    let slow = server.token_with(&owner, body).await.unwrap();
    let other = server.token(&owner, &["organization:read"]).await.unwrap();
    let by_key = async |token: &str| {
        let request = server.request(reqwest::Method::GET, "/me", As::Nobody).header("x-api-key", token);
        server.send(request).await.unwrap()
    };
    let first = by_key(&slow).await.expect(200).unwrap();
    assert_eq!(first.header("ratelimit-policy"), Some("\"token\";q=2;w=3600"));
    server.get("/me", As::Token(&slow)).await.unwrap().expect(200).unwrap();
    let refused = by_key(&slow).await.expect_problem(429, "rate-limited").unwrap();
    assert_eq!(refused.json["violated-policies"], json!(["token"]));
    by_key(&other).await.expect(200).unwrap();
    by_key("sea_pat_wrong").await.expect_problem(401, "unauthenticated").unwrap();
    let list = server.get("/me/tokens", As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert!(list.json["data"].as_array().unwrap().iter().any(|token| token["rate"] == json!({ "requests": 2, "window_seconds": 3600 })));
    for (rate, pointer) in [
        (json!({ "requests": 0, "window_seconds": 60 }), "/rate/requests"),
        (json!({ "requests": 1, "window_seconds": 86_401 }), "/rate/window_seconds"),
    ] {
        let body = json!({ "name": "x", "scopes": ["organization:read"], "rate": rate });
        let refused = server.post("/me/tokens", As::Session(&owner), body).await.unwrap().expect_problem(422, "invalid").unwrap();
        assert_eq!(refused.json["errors"][0]["pointer"], pointer);
    }
}

//! Set-up, sign-up, log-in, sessions, passwords.

use chrono::TimeDelta;
use serde_json::json;
use testkit::mailbox::code_in;
use testkit::server::cookie_of;
use testkit::{As, PASSWORD, Person, TestServer};

#[tokio::test]
async fn the_first_start_is_set_up_once() {
    let server = TestServer::new().await.unwrap();
    let public = server.get("/instance/public", As::Nobody).await.unwrap().expect(200).unwrap();
    assert_eq!(public.json["setup_needed"], true);
    let body = |token: &str, password: &str| json!({ "token": token, "email": "o@lighthouse.example", "password": password, "name": "O", "organization_name": "Lighthouse" });
    let foreign = "A".repeat(43);
    server.post("/setup", As::Nobody, body(&foreign, PASSWORD)).await.unwrap().expect_problem(410, "gone").unwrap();
    let weak =
        server.post("/setup", As::Nobody, body(server.setup_token(), "short")).await.unwrap().expect_problem(422, "invalid").unwrap();
    assert_eq!(weak.json["errors"][0]["pointer"], "/password");
    // A newer link takes the place of the printed one.
    let newer = server.control.setup_link().await.unwrap().unwrap();
    let newer = newer.reveal().rsplit('=').next().unwrap().to_owned();
    server.post("/setup", As::Nobody, body(server.setup_token(), PASSWORD)).await.unwrap().expect_problem(410, "gone").unwrap();
    let reply = server.post("/setup", As::Nobody, body(&newer, PASSWORD)).await.unwrap().expect(201).unwrap();
    assert_eq!(reply.json["user"]["operator"], true);
    assert!(server.control.setup_link().await.unwrap().is_none());
    server.post("/setup", As::Nobody, body(&newer, PASSWORD)).await.unwrap().expect_problem(404, "not-found").unwrap();
    let public = server.get("/instance/public", As::Nobody).await.unwrap().expect(200).unwrap();
    assert_eq!((public.json["setup_needed"].clone(), public.json["sign_up"].clone()), (json!(false), json!("invitation")));
}

#[tokio::test]
async fn the_operator_changes_the_instance_and_a_stale_change_is_refused() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let read = server.get("/instance", As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(read.json["analytics"], false);
    let tag = read.header("etag").unwrap().to_owned();
    let change = |tag: String| {
        server
            .request(reqwest::Method::PATCH, "/instance", As::Session(&owner))
            .header("if-match", tag)
            .json(&json!({ "sign_up": "closed" }))
    };
    server.send(change(tag.clone())).await.unwrap().expect(200).unwrap();
    server.send(change(tag)).await.unwrap().expect_problem(412, "precondition-failed").unwrap();
    let body = json!({ "email": "x@harbor.example", "password": PASSWORD, "name": "X" });
    server.post("/sign-up", As::Nobody, body).await.unwrap().expect_problem(403, "sign-up-closed").unwrap();
    let token = server.token(&owner, &["*"]).await.unwrap();
    server.get("/instance", As::Token(&token)).await.unwrap().expect_problem(404, "not-found").unwrap();
}

#[tokio::test]
async fn sign_up_tells_nothing_about_known_addresses() {
    let server = TestServer::new().await.unwrap();
    server.owner().await.unwrap();
    server.sign_up_as("ada@harbor.example").await.unwrap();
    let sign_up = async |email: &str| {
        let body = json!({ "email": email, "password": "another quiet lantern", "name": "Eve" });
        server.post("/sign-up", As::Nobody, body).await.unwrap().expect(202).unwrap().text.replace(email, "")
    };
    assert_eq!(sign_up("Ada@Harbor.Example").await, sign_up("nobody@harbor.example").await);
    server.work().await.unwrap();
    assert!(server.mailbox.newest("ada@harbor.example", "account_exists").is_some());
    assert!(server.mailbox.newest("nobody@harbor.example", "verify_email").is_some());
    // The password of the first sign-up stands.
    server.log_in("ada@harbor.example").await.unwrap();
    let reset = async |email: &str| {
        let reply = server.post("/password-resets", As::Nobody, json!({ "email": email })).await.unwrap().expect(202).unwrap();
        reply.text.replace(email, "")
    };
    assert_eq!(reset("ada@harbor.example").await, reset("stranger@harbor.example").await);
    let wrong = async |email: &str| {
        let body = json!({ "email": email, "password": "wrong wrong wrong wrong" });
        let reply = server.post("/log-in", As::Nobody, body).await.unwrap().expect_problem(401, "credentials-invalid").unwrap();
        reply.json["detail"].clone()
    };
    assert_eq!(wrong("ada@harbor.example").await, wrong("stranger@harbor.example").await);
}

#[tokio::test]
async fn a_code_works_once_and_only_a_few_tries_are_given() {
    let server = TestServer::new().await.unwrap();
    server.owner().await.unwrap();
    server.sign_up_as("first@harbor.example").await.unwrap();
    let email = "ada@harbor.example";
    server.post("/sign-up", As::Nobody, json!({ "email": email, "password": PASSWORD, "name": "Ada" })).await.unwrap().expect(202).unwrap();
    server.work().await.unwrap();
    let code = code_in(&server.mailbox.newest(email, "verify_email").unwrap()).unwrap();
    let other = if code == "000000" { "000001" } else { "000000" };
    let verify = async |code: &str| server.post("/email-verifications", As::Nobody, json!({ "email": email, "code": code })).await.unwrap();
    for _ in 0..5 {
        verify(other).await.expect_problem(410, "gone").unwrap();
    }
    verify(&code).await.expect_problem(410, "gone").unwrap();
    // Not verified: only the own account is open.
    let reply = server.log_in(email).await.unwrap();
    assert_eq!(reply.json["user"]["email_verified"], false);
    let person = Person {
        id: reply.text_at("/user/id").parse().unwrap(),
        email: email.to_owned(),
        cookie: cookie_of(&reply).unwrap(),
        csrf: reply.text_at("/csrf_token").to_owned(),
        organization: domain::id::OrganizationId::new(server.clock.as_ref(), &domain::SystemEntropy),
    };
    server.get("/me", As::Session(&person)).await.unwrap().expect(200).unwrap();
    server
        .post("/organizations", As::Session(&person), json!({ "name": "X" }))
        .await
        .unwrap()
        .expect_problem(403, "email-unverified")
        .unwrap();
    // A new code works; the link of the first mail is void.
    let old = testkit::mailbox::token_in(&server.mailbox.newest(email, "verify_email").unwrap()).unwrap();
    server.clock.advance(TimeDelta::minutes(1));
    server.post("/email-verifications/resend", As::Nobody, json!({ "email": email })).await.unwrap().expect(202).unwrap();
    server.work().await.unwrap();
    server.post("/email-verifications", As::Nobody, json!({ "token": old })).await.unwrap().expect_problem(410, "gone").unwrap();
    let code = code_in(&server.mailbox.newest(email, "verify_email").unwrap()).unwrap();
    verify(&code).await.expect(200).unwrap();
    verify(&code).await.expect_problem(410, "gone").unwrap();
}

#[tokio::test]
async fn guessing_is_slowed_down_and_audited() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let guess = async |email: &str| {
        server.post("/log-in", As::Nobody, json!({ "email": email, "password": "wrong wrong wrong wrong" })).await.unwrap()
    };
    for email in [owner.email.as_str(), "stranger@harbor.example"] {
        for _ in 0..5 {
            guess(email).await.expect_problem(401, "credentials-invalid").unwrap();
        }
        let limited = guess(email).await.expect_problem(429, "rate-limited").unwrap();
        assert!(limited.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
    let right = json!({ "email": owner.email, "password": PASSWORD });
    server.post("/log-in", As::Nobody, right.clone()).await.unwrap().expect_problem(429, "rate-limited").unwrap();
    server.clock.advance(TimeDelta::seconds(2));
    server.post("/log-in", As::Nobody, right).await.unwrap().expect(200).unwrap();
    let filter = store::audit::AuditFilter { action: Some("session.refused".into()), ..Default::default() };
    let mut read = server.control.store().read().await.unwrap();
    let rows = store::audit::list(&mut read, store::audit::Chain::Instance, &filter, &store::Page::default()).await.unwrap().rows;
    assert_eq!(rows.len(), 10);
}

#[tokio::test]
async fn sessions_end_by_time_by_log_out_and_by_revocation() {
    let server = TestServer::new().await.unwrap();
    let first = server.owner().await.unwrap();
    let second = server.again(&first).await.unwrap();
    let alive = async |person: &Person| server.get("/me", As::Session(person)).await.unwrap().status == 200;
    assert!(alive(&first).await && alive(&second).await);
    let list = server.get("/me/sessions", As::Session(&first)).await.unwrap().expect(200).unwrap();
    assert_eq!(list.json["data"].as_array().unwrap().len(), 2);
    let other = list.json["data"].as_array().unwrap().iter().find(|session| session["current"] == false).unwrap();
    server.delete(&format!("/me/sessions/{}", other["id"].as_str().unwrap()), As::Session(&first)).await.unwrap().expect(204).unwrap();
    assert!(!alive(&second).await, "revoked at once");
    let third = server.again(&first).await.unwrap();
    let ended = server.post("/me/sessions/revoke-others", As::Session(&third), json!({})).await.unwrap().expect(200).unwrap();
    assert_eq!(ended.json["ended"], 1);
    assert!(!alive(&first).await && alive(&third).await);
    // Used now and then it lives, but not for more than a day.
    for _ in 0..28 {
        server.clock.advance(TimeDelta::minutes(50));
        assert!(alive(&third).await);
    }
    server.clock.advance(TimeDelta::minutes(50));
    assert!(!alive(&third).await);
    let fourth = server.again(&third).await.unwrap();
    server.clock.advance(TimeDelta::minutes(61));
    assert!(!alive(&fourth).await, "idle");
    let fifth = server.again(&third).await.unwrap();
    let reply = server.post("/log-out", As::Session(&fifth), json!({})).await.unwrap().expect(204).unwrap();
    assert!(reply.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert!(!alive(&fifth).await);
}

#[tokio::test]
async fn changes_from_a_browser_need_the_token_and_the_origin() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let patch = || server.request(reqwest::Method::PATCH, "/me", As::Session(&owner)).json(&json!({ "name": "New" }));
    server.send(patch()).await.unwrap().expect(200).unwrap();
    let with = async |name: &'static str, value: &'static str| server.send(patch().header(name, value)).await.unwrap();
    with("origin", "https://evil.example").await.expect_problem(403, "csrf-rejected").unwrap();
    with("sec-fetch-site", "cross-site").await.expect_problem(403, "csrf-rejected").unwrap();
    with("origin", "http://localhost:8080").await.expect(200).unwrap();
    let forged = Person { csrf: "0".repeat(32), ..owner.clone() };
    server.patch("/me", As::Session(&forged), json!({ "name": "New" })).await.unwrap().expect_problem(403, "csrf-rejected").unwrap();
    let cross = server.request(reqwest::Method::POST, "/log-in", As::Nobody).header("origin", "https://evil.example");
    server
        .send(cross.json(&json!({ "email": "a@b.example", "password": "x" })))
        .await
        .unwrap()
        .expect_problem(403, "csrf-rejected")
        .unwrap();
    let reply = server.log_in(&owner.email).await.unwrap();
    let cookie = reply.header("set-cookie").unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Path=/") && !cookie.contains("Domain"),
        "{cookie}"
    );
}

#[tokio::test]
async fn what_is_sensitive_needs_a_fresh_password() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let make = async |person: &Person| {
        server.post("/me/tokens", As::Session(person), json!({ "name": "ci", "scopes": ["projects:read"] })).await.unwrap()
    };
    make(&owner).await.expect(201).unwrap();
    server.clock.advance(TimeDelta::minutes(6));
    make(&owner).await.expect_problem(401, "step-up-required").unwrap();
    let wrong = json!({ "password": "wrong wrong wrong wrong" });
    server.post("/me/step-up", As::Session(&owner), wrong).await.unwrap().expect_problem(401, "credentials-invalid").unwrap();
    let reply = server.post("/me/step-up", As::Session(&owner), json!({ "password": PASSWORD })).await.unwrap().expect(200).unwrap();
    let renewed = Person { cookie: cookie_of(&reply).unwrap(), csrf: reply.text_at("/csrf_token").to_owned(), ..owner.clone() };
    assert_ne!(renewed.cookie, owner.cookie);
    server.get("/me", As::Session(&owner)).await.unwrap().expect_problem(401, "unauthenticated").unwrap();
    make(&renewed).await.expect(201).unwrap();
}

#[tokio::test]
async fn passwords_are_changed_and_reset() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let other = server.again(&owner).await.unwrap();
    let new = "harbour of small red boats";
    let change = |current: &str| json!({ "current_password": current, "new_password": new });
    let wrong = server.post("/me/password", As::Session(&owner), change("wrong wrong wrong wrong")).await.unwrap();
    assert_eq!(wrong.expect_problem(422, "invalid").unwrap().json["errors"][0]["pointer"], "/current_password");
    let reply = server.post("/me/password", As::Session(&owner), change(PASSWORD)).await.unwrap().expect(200).unwrap();
    let renewed = Person { cookie: cookie_of(&reply).unwrap(), csrf: reply.text_at("/csrf_token").to_owned(), ..owner.clone() };
    for ended in [&owner, &other] {
        server.get("/me", As::Session(ended)).await.unwrap().expect_problem(401, "unauthenticated").unwrap();
    }
    server.get("/me", As::Session(&renewed)).await.unwrap().expect(200).unwrap();

    server.post("/password-resets", As::Nobody, json!({ "email": owner.email })).await.unwrap().expect(202).unwrap();
    let token = server.mailed_token(&owner.email, "password_reset").await.unwrap();
    let complete = async |password: &str| {
        server.post("/password-resets/complete", As::Nobody, json!({ "token": token, "password": password })).await.unwrap()
    };
    complete("short").await.expect_problem(422, "invalid").unwrap();
    complete(PASSWORD).await.expect(200).unwrap();
    complete(PASSWORD).await.expect_problem(410, "gone").unwrap();
    server.get("/me", As::Session(&renewed)).await.unwrap().expect_problem(401, "unauthenticated").unwrap();
    server.log_in(&owner.email).await.unwrap();
    // A link that lay around for more than an hour does not work.
    server.clock.advance(TimeDelta::minutes(1));
    server.post("/password-resets", As::Nobody, json!({ "email": owner.email })).await.unwrap().expect(202).unwrap();
    let token = server.mailed_token(&owner.email, "password_reset").await.unwrap();
    server.clock.advance(TimeDelta::minutes(60));
    let late = json!({ "token": token, "password": new });
    server.post("/password-resets/complete", As::Nobody, late).await.unwrap().expect_problem(410, "gone").unwrap();
}

#[tokio::test]
async fn an_address_changes_with_the_session_and_the_old_one_can_take_it_back() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let stranger = server.second_person().await.unwrap();
    let new = "olive@new.example";
    server.post("/me/email", As::Session(&owner), json!({ "email": new })).await.unwrap().expect(202).unwrap();
    let confirm = server.mailed_token(new, "email_change_verify").await.unwrap();
    let cancel = server.mailed_token(&owner.email, "email_change_notice").await.unwrap();
    let body = json!({ "token": confirm });
    server.post("/me/email/confirm", As::Session(&stranger), body.clone()).await.unwrap().expect_problem(410, "gone").unwrap();
    let changed = server.post("/me/email/confirm", As::Session(&owner), body).await.unwrap().expect(200).unwrap();
    assert_eq!(changed.json["email"], new);
    server.log_in(new).await.unwrap();
    server.post("/email-changes/cancel", As::Nobody, json!({ "token": cancel })).await.unwrap().expect(200).unwrap();
    server.get("/me", As::Session(&owner)).await.unwrap().expect_problem(401, "unauthenticated").unwrap();
    server.log_in(&owner.email).await.unwrap();
    let gone = json!({ "email": new, "password": PASSWORD });
    server.post("/log-in", As::Nobody, gone).await.unwrap().expect_problem(401, "credentials-invalid").unwrap();
}

#[tokio::test]
async fn an_account_is_deleted_when_it_owns_nothing() {
    let server = TestServer::new().await.unwrap();
    server.owner().await.unwrap();
    let person = server.second_person().await.unwrap();
    server.delete("/me", As::Session(&person)).await.unwrap().expect_problem(409, "conflict").unwrap();
    server.delete(&format!("/organizations/{}", person.organization), As::Session(&person)).await.unwrap().expect(204).unwrap();
    server.delete("/me", As::Session(&person)).await.unwrap().expect(204).unwrap();
    server.get("/me", As::Session(&person)).await.unwrap().expect_problem(401, "unauthenticated").unwrap();
    // The address is free again.
    server.clock.advance(TimeDelta::hours(2));
    server.person(&person.email).await.unwrap();
}

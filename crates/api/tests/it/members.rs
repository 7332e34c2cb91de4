//! Organizations, members, invitations, ownership, the audit log.

use chrono::TimeDelta;
use serde_json::json;
use store::audit::Verdict;
use testkit::{As, TestServer};

#[tokio::test]
async fn an_invitation_is_for_one_address_once_and_a_newer_one_replaces_it() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (guest, stranger) = (server.second_person().await.unwrap(), server.second_person().await.unwrap());
    let path = format!("/organizations/{}/invitations", owner.organization);
    let invite = async || {
        let reply =
            server.post(&path, As::Session(&owner), json!({ "email": guest.email, "role": "member" })).await.unwrap().expect(201).unwrap();
        reply.text_at("/link").rsplit('=').next().unwrap().to_owned()
    };
    let accept =
        async |person, token: &str| server.post("/invitations/accept", As::Session(person), json!({ "token": token })).await.unwrap();
    let first = invite().await;
    let second = invite().await;
    accept(&guest, &first).await.expect_problem(410, "gone").unwrap();
    accept(&stranger, &second).await.expect_problem(410, "gone").unwrap();
    server.clock.advance(TimeDelta::hours(72));
    let guest = server.again(&guest).await.unwrap();
    let owner = server.again(&owner).await.unwrap();
    accept(&guest, &second).await.expect_problem(410, "gone").unwrap();
    let third =
        server.post(&path, As::Session(&owner), json!({ "email": guest.email, "role": "member" })).await.unwrap().expect(201).unwrap();
    let third = third.text_at("/link").rsplit('=').next().unwrap().to_owned();
    assert_eq!(server.mailed_token(&guest.email, "invitation").await.unwrap(), third);
    let joined = accept(&guest, &third).await.expect(200).unwrap();
    assert_eq!(joined.json["role"], "member");
    accept(&guest, &third).await.expect_problem(410, "gone").unwrap();
    server.post(&path, As::Session(&owner), json!({ "email": guest.email })).await.unwrap().expect_problem(409, "conflict").unwrap();
}

#[tokio::test]
async fn nobody_grants_above_the_own_role_and_owner_goes_by_transfer_only() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let admin = server.second_person().await.unwrap();
    let member = server.second_person().await.unwrap();
    server.join(&owner, &admin, "admin").await.unwrap();
    server.join(&owner, &member, "member").await.unwrap();
    let organization = owner.organization;
    let invitations = format!("/organizations/{organization}/invitations");
    for who in [&owner, &admin] {
        let reply = server.post(&invitations, As::Session(who), json!({ "email": "x@harbor.example", "role": "owner" })).await.unwrap();
        reply.expect_problem(422, "invalid").unwrap();
    }
    let patch = async |who, target, body| {
        server.patch(&format!("/organizations/{organization}/members/{target}"), As::Session(who), body).await.unwrap()
    };
    patch(&admin, member.id, json!({ "role": "owner" })).await.expect_problem(422, "invalid").unwrap();
    patch(&admin, owner.id, json!({ "role": "viewer" })).await.expect_problem(403, "forbidden").unwrap();
    patch(&owner, owner.id, json!({ "role": "viewer" })).await.expect_problem(422, "invalid").unwrap();
    patch(&member, member.id, json!({ "role": "admin" })).await.expect_problem(403, "forbidden").unwrap();
    let switched = patch(&admin, member.id, json!({ "switches": { "projects:write": false, "audit:read": true } })).await;
    switched.expect_problem(422, "invalid").unwrap();
    let switched = patch(&admin, member.id, json!({ "switches": { "projects:write": false }, "projects": [] })).await.expect(200).unwrap();
    assert_eq!((switched.json["switches"].clone(), switched.json["projects"].clone()), (json!({ "projects:write": false }), json!([])));
    let switched = patch(&admin, member.id, json!({ "projects": null })).await.expect(200).unwrap();
    assert!(switched.json["projects"].is_null());
    server
        .delete(&format!("/organizations/{organization}/members/{}", owner.id), As::Session(&admin))
        .await
        .unwrap()
        .expect_problem(403, "forbidden")
        .unwrap();
    server
        .post(&format!("/organizations/{organization}/leave"), As::Session(&owner), json!({}))
        .await
        .unwrap()
        .expect_problem(409, "conflict")
        .unwrap();

    // Ownership: offered by the owner, accepted by the member, each with a fresh password.
    let accept = format!("/organizations/{organization}/transfer/accept");
    server.post(&accept, As::Session(&member), json!({})).await.unwrap().expect_problem(410, "gone").unwrap();
    let offer = json!({ "user": member.id });
    server.post(&format!("/organizations/{organization}/transfer"), As::Session(&owner), offer).await.unwrap().expect(202).unwrap();
    server.post(&accept, As::Session(&admin), json!({})).await.unwrap().expect_problem(410, "gone").unwrap();
    server.clock.advance(TimeDelta::minutes(10));
    server.post(&accept, As::Session(&member), json!({})).await.unwrap().expect_problem(401, "step-up-required").unwrap();
    let member = server.again(&member).await.unwrap();
    server.post(&accept, As::Session(&member), json!({})).await.unwrap().expect(204).unwrap();
    let roles = server.get(&format!("/organizations/{organization}/members"), As::Session(&member)).await.unwrap().expect(200).unwrap();
    let role_of = |id: domain::id::UserId| {
        roles.json["data"].as_array().unwrap().iter().find(|row| row["user"] == id.to_string()).unwrap()["role"].clone()
    };
    assert_eq!((role_of(member.id), role_of(owner.id)), (json!("owner"), json!("admin")));
}

#[tokio::test]
async fn a_removed_member_loses_everything_at_once() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let guest = server.second_person().await.unwrap();
    server.join(&owner, &guest, "admin").await.unwrap();
    let path = format!("/organizations/{}", owner.organization);
    let free = server.token(&guest, &["organization:read"]).await.unwrap();
    let body = json!({ "name": "here", "scopes": ["organization:read"], "organization": owner.organization });
    let confined = server.token_with(&guest, body).await.unwrap();
    for who in [As::Session(&guest), As::Token(&free), As::Token(&confined)] {
        server.get(&path, who).await.unwrap().expect(200).unwrap();
    }
    server.delete(&format!("{path}/members/{}", guest.id), As::Session(&owner)).await.unwrap().expect(204).unwrap();
    server.get(&path, As::Session(&guest)).await.unwrap().expect_problem(404, "not-found").unwrap();
    server.get(&path, As::Token(&free)).await.unwrap().expect_problem(404, "not-found").unwrap();
    server.get(&path, As::Token(&confined)).await.unwrap().expect_problem(401, "unauthenticated").unwrap();
}

#[tokio::test]
async fn foreign_and_missing_are_the_same_answer() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let stranger = server.second_person().await.unwrap();
    let strip = |reply: testkit::Reply| {
        let mut json = reply.expect_problem(404, "not-found").unwrap().json;
        json.as_object_mut().unwrap().retain(|name, _| name != "request_id" && name != "instance");
        json
    };
    let missing = domain::id::OrganizationId::new(server.clock.as_ref(), &domain::SystemEntropy);
    let get = async |id: &str| strip(server.get(&format!("/organizations/{id}"), As::Session(&stranger)).await.unwrap());
    let foreign = get(&owner.organization.to_string()).await;
    assert_eq!(foreign, get(&missing.to_string()).await);
    assert_eq!(foreign, get("lighthouse").await);
    assert_eq!(foreign, get("no-such-slug").await);
    assert_eq!(foreign, get("org_x").await);
    let by_slug = server.get("/organizations/lighthouse", As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(by_slug.json["id"], owner.organization.to_string());
}

#[tokio::test]
async fn the_audit_log_is_listed_exported_and_proved() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let guest = server.second_person().await.unwrap();
    let invitation = json!({ "email": guest.email, "role": "viewer" });
    let path = format!("/organizations/{}/invitations", owner.organization);
    let invited = server.post(&path, As::Session(&owner), invitation).await.unwrap().expect(201).unwrap();
    // Entries of one moment have no order of their own: let time go by between them.
    server.clock.advance(TimeDelta::seconds(1));
    let token = invited.text_at("/link").rsplit('=').next().unwrap().to_owned();
    server.post("/invitations/accept", As::Session(&guest), json!({ "token": token })).await.unwrap().expect(200).unwrap();
    server.clock.advance(TimeDelta::seconds(1));
    let path = format!("/organizations/{}/audit-events", owner.organization);
    // A denied decision is written down, once a minute per person and operation.
    for _ in 0..3 {
        server.get(&path, As::Session(&guest)).await.unwrap().expect_problem(403, "forbidden").unwrap();
    }
    let list = server.get(&format!("{path}?limit=2"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(list.json["data"][0]["action"], "access.denied");
    assert_eq!(list.json["data"][1]["action"], "invitation.accepted");
    assert_eq!(list.json["data"][0]["network"], "127.0.0.0/24");
    let cursor = list.text_at("/next_cursor").to_owned();
    let next = server.get(&format!("{path}?limit=2&cursor={cursor}"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(next.json["data"][0]["action"], "invitation.created");
    let other = server.get(&format!("{path}?limit=2&action=x&cursor={cursor}"), As::Session(&owner)).await.unwrap();
    other.expect_problem(400, "cursor-invalid").unwrap();
    let csv = server.send(server.request(reqwest::Method::GET, &path, As::Session(&owner)).header("accept", "text/csv")).await.unwrap();
    assert!(csv.text.starts_with("sequence,at,") && csv.text.contains("\"invitation.accepted\""), "{}", csv.text);

    let checkpoint = server.control.audit_checkpoint().await.unwrap();
    let reports = server.control.verify_audit(Some(&checkpoint)).await.unwrap();
    assert_eq!(reports.len(), 3);
    assert!(reports.iter().all(|report| matches!(report.verdict, Verdict::Intact { .. })), "{reports:?}");
    assert!(server.control.verify_audit(Some(&checkpoint.replace("\"heads\"", "\"head\""))).await.is_err());
    let mut write = server.control.store().write().await.unwrap();
    store::execute!(&mut write, "UPDATE audit_entries SET action = 'invitation.revoked' WHERE action = 'invitation.created'")
        .await
        .unwrap();
    write.commit_without_audit("the attack").await.unwrap();
    let reports = server.control.verify_audit(None).await.unwrap();
    assert_eq!(reports.iter().filter(|report| matches!(report.verdict, Verdict::Broken { .. })).count(), 1);
}

#[tokio::test]
async fn names_of_organizations_are_unique_and_can_change() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let taken = json!({ "name": "Other", "slug": "lighthouse" });
    server.post("/organizations", As::Session(&owner), taken).await.unwrap().expect_problem(409, "name-taken").unwrap();
    let second = server.post("/organizations", As::Session(&owner), json!({ "name": "Lighthouse" })).await.unwrap().expect(201).unwrap();
    assert!(second.text_at("/slug").starts_with("lighthouse-"), "{}", second.text);
    let path = second.header("location").unwrap().trim_start_matches("/api/v1").to_owned();
    let changed =
        server.patch(&path, As::Session(&owner), json!({ "slug": "beacon", "default_role": "viewer" })).await.unwrap().expect(200).unwrap();
    assert_eq!((changed.json["slug"].clone(), changed.json["default_role"].clone()), (json!("beacon"), json!("viewer")));
    server.patch(&path, As::Session(&owner), json!({ "slug": "lighthouse" })).await.unwrap().expect_problem(409, "name-taken").unwrap();
    let list = server.get("/organizations", As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(list.json["data"].as_array().unwrap().len(), 2);
}

//! What the gate remembers between requests is never older than the last commit. The clock of these tests stands still, so
//! nothing is forgotten by its age.

use serde_json::json;
use testkit::{As, Backend, TestServer};

use crate::tree;

const READ: &[&str] = &["services:read", "organization:read"];

#[tokio::test]
async fn a_token_that_was_just_used_fails_with_the_request_after_its_revocation() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let planted = tree::plant(server.control.store(), server.clock.as_ref(), owner.organization).await;
    let path = format!("/services/{}", planted.service);
    for _ in 0..3 {
        let token = server.token(&owner, READ).await.unwrap();
        for _ in 0..2 {
            server.get(&path, As::Token(&token)).await.unwrap().expect(200).unwrap();
        }
        let list = server.get("/me/tokens?limit=1", As::Session(&owner)).await.unwrap().expect(200).unwrap();
        server.delete(&format!("/me/tokens/{}", list.text_at("/data/0/id")), As::Session(&owner)).await.unwrap().expect(204).unwrap();
        server.get(&path, As::Token(&token)).await.unwrap().expect_problem(401, "unauthenticated").unwrap();
    }
}

/// Nobody has to remember to say so: on SQLite the commit itself is seen.
#[tokio::test]
async fn a_row_that_goes_without_a_word_is_missed_at_once() {
    let server = TestServer::on(Backend::Sqlite).await.unwrap();
    let owner = server.owner().await.unwrap();
    let store = server.control.store();
    let planted = tree::plant(store, server.clock.as_ref(), owner.organization).await;
    let guest = server.second_person().await.unwrap();
    server.join(&owner, &guest, "admin").await.unwrap();
    let path = format!("/services/{}", planted.service);
    let token = server.token(&guest, READ).await.unwrap();
    server.get(&path, As::Token(&token)).await.unwrap().expect(200).unwrap();

    let mut write = store.write().await.unwrap();
    store::memberships::delete(&mut write, owner.organization, guest.id).await.unwrap();
    write.commit_without_audit("test").await.unwrap();
    server.get(&path, As::Token(&token)).await.unwrap().expect_problem(404, "not-found").unwrap();
    server.get("/me", As::Token(&token)).await.unwrap().expect(200).unwrap();

    let mut write = store.write().await.unwrap();
    store::tokens::delete_of_user(&mut write, guest.id).await.unwrap();
    write.commit_without_audit("test").await.unwrap();
    server.get("/me", As::Token(&token)).await.unwrap().expect_problem(401, "unauthenticated").unwrap();
}

#[tokio::test]
async fn a_service_that_moves_leaves_a_confined_token_behind_at_once() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (project, production) = tree::project(&server, &owner, "shop").await;
    let service = tree::service(&server, &owner, &production, "web").await;
    let environments = format!("/projects/{project}/environments");
    let staging = server.post(&environments, As::Session(&owner), json!({ "name": "staging" })).await.unwrap().expect(201).unwrap();
    let confined =
        json!({ "name": "confined", "scopes": READ, "organization": owner.organization, "project": project, "environment": production });
    let token = server.token_with(&owner, confined).await.unwrap();
    let path = format!("/services/{service}");
    for _ in 0..2 {
        server.get(&path, As::Token(&token)).await.unwrap().expect(200).unwrap();
    }
    let there = json!({ "environment": staging.text_at("/id") });
    server.post(&format!("{path}/move"), As::Session(&owner), there).await.unwrap().expect(200).unwrap();
    server.get(&path, As::Token(&token)).await.unwrap().expect_problem(404, "not-found").unwrap();
    server.get(&path, As::Session(&owner)).await.unwrap().expect(200).unwrap();
}

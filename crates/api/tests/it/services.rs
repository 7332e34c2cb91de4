//! Services: settings, moves, staged changes, domains, volumes.

use serde_json::json;
use testkit::{As, TestServer};

use crate::tree;

#[tokio::test]
async fn every_wrong_setting_is_pointed_at() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (_, environment) = tree::project(&server, &owner, "Shop").await;
    let path = format!("/environments/{environment}/services");
    for (configuration, pointer) in [
        (json!({ "source": { "type": "git", "url": "ext::sh -c id" } }), "/configuration/source/url"),
        (json!({ "source": { "type": "git", "url": "https://user:password@localhost/x.git" } }), "/configuration/source/url"),
        (
            json!({ "source": { "type": "git", "url": "https://h/x", "credential": "cred_00000000000000000000000007" } }),
            "/configuration/source/credential",
        ),
        (json!({ "mounts": [{ "type": "bind", "host_path": "/", "path": "/host" }] }), "/configuration/mounts/0/host_path"),
        (
            json!({ "mounts": [{ "type": "volume", "volume": "vol_00000000000000000000000007", "path": "/data" }] }),
            "/configuration/mounts/0/volume",
        ),
        (json!({ "port": 0 }), "/configuration/port"),
        (json!({ "prot": 1 }), "/configuration/prot"),
        (json!({ "engine": { "capabilities": ["SYS_ADMIN"] } }), "/configuration/engine/capabilities/0"),
    ] {
        let body = json!({ "name": "web", "configuration": configuration });
        let refused = server.post(&path, As::Session(&owner), body).await.unwrap().expect_problem(422, "invalid").unwrap();
        assert_eq!(refused.text_at("/errors/0/pointer"), pointer, "{}", refused.text);
        assert!(!refused.text.contains("password@"), "the URL is not repeated");
    }
    let refused =
        server.post(&path, As::Session(&owner), json!({ "name": "project" })).await.unwrap().expect_problem(422, "invalid").unwrap();
    assert_eq!(refused.text_at("/errors/0/pointer"), "/slug");
}

#[tokio::test]
async fn a_change_of_settings_needs_if_match_and_becomes_a_release() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (_, environment) = tree::project(&server, &owner, "Shop").await;
    let service = tree::service(&server, &owner, &environment, "Web").await;
    let path = format!("/services/{service}");
    tree::deploy(&server, &owner, &service).await;
    let draft = async || server.get(&path, As::Session(&owner)).await.unwrap().expect(200).unwrap().json["draft"].clone();
    assert_eq!(draft().await, json!(false));
    // The scripted image declares 8080, and no port is set.
    let change = json!({ "configuration": { "port": 8081 } });
    server.patch(&path, As::Session(&owner), change.clone()).await.unwrap().expect_problem(428, "precondition-required").unwrap();
    tree::patch(&server, &owner, &format!("{path}?deploy=false"), change).await.expect(200).unwrap();
    assert_eq!(draft().await, json!(true));
    let staged = server.get(&format!("{path}/changes"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(
        staged.json["changes"],
        json!([{ "kind": "configuration", "name": "/port", "change": "changed", "before": 8080, "after": 8081 }]),
        "{}",
        staged.text
    );
    server.post(&format!("{path}/changes/discard"), As::Session(&owner), json!({})).await.unwrap().expect(200).unwrap();
    assert_eq!(draft().await, json!(false));
    tree::patch(&server, &owner, &path, json!({ "configuration": { "port": 9090 } })).await.expect(200).unwrap();
    server.work().await.unwrap();
    assert_eq!(draft().await, json!(false), "the change was released");
    let releases = server.get(&format!("{path}/releases"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(releases.json["data"].as_array().unwrap().len(), 2, "{}", releases.text);
    // A new name alone is no release.
    tree::patch(&server, &owner, &path, json!({ "name": "Window" })).await.expect(200).unwrap();
    assert_eq!(draft().await, json!(false));
}

#[tokio::test]
async fn a_service_moves_and_is_copied_within_the_organization_only() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let other = server.second_person().await.unwrap();
    let (_, one) = tree::project(&server, &owner, "One").await;
    let (two_project, two) = tree::project(&server, &owner, "Two").await;
    let (_, foreign) = tree::project(&server, &other, "Foreign").await;
    let service = tree::service(&server, &owner, &one, "Web").await;
    let app_name = "web-production-one";
    for path in ["move", "duplicate"] {
        let body = json!({ "environment": foreign, "name": "x" });
        let body = if path == "move" { json!({ "environment": foreign }) } else { body };
        server
            .post(&format!("/services/{service}/{path}"), As::Session(&owner), body)
            .await
            .unwrap()
            .expect_problem(404, "not-found")
            .unwrap();
    }
    let moved = server
        .post(&format!("/services/{service}/move"), As::Session(&owner), json!({ "environment": two }))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    assert_eq!(
        (moved.text_at("/project"), moved.text_at("/environment"), moved.text_at("/app_name")),
        (two_project.as_str(), two.as_str(), app_name)
    );
    let copy = server
        .post(&format!("/services/{service}/duplicate"), As::Session(&owner), json!({ "name": "Web", "environment": one }))
        .await
        .unwrap();
    let copy = copy.expect(201).unwrap();
    assert!(copy.text_at("/app_name").starts_with("web-production-one-"), "the name is taken: {}", copy.text);
    // A token of one environment does not reach another one through a second id.
    let body = json!({ "name": "one", "scopes": ["services:write", "variables:write"], "environment": two });
    let token = server.token_with(&owner, body).await.unwrap();
    let refused = server.post(&format!("/services/{service}/move"), As::Token(&token), json!({ "environment": one })).await.unwrap();
    refused.expect_problem(404, "not-found").unwrap();
}

#[tokio::test]
async fn the_same_names_in_two_organizations_get_two_hosts() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let other = server.second_person().await.unwrap();
    let mut hosts = std::collections::BTreeSet::new();
    for person in [&owner, &other] {
        let (_, environment) = tree::project(&server, person, "Shop").await;
        let service = tree::service(&server, person, &environment, "Web").await;
        let domains = server.get(&format!("/services/{service}/domains"), As::Session(person)).await.unwrap().expect(200).unwrap();
        assert_eq!((&domains.json["data"][0]["generated"], &domains.json["data"][0]["primary"]), (&json!(true), &json!(true)));
        hosts.insert(domains.text_at("/data/0/host").to_owned());
    }
    assert_eq!(hosts.len(), 2, "{hosts:?}");
}

#[tokio::test]
async fn a_host_has_one_owner_in_the_instance() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let other = server.second_person().await.unwrap();
    let (_, environment) = tree::project(&server, &owner, "Shop").await;
    let service = tree::service(&server, &owner, &environment, "Web").await;
    let (_, elsewhere) = tree::project(&server, &other, "Shop").await;
    let theirs = tree::service(&server, &other, &elsewhere, "Web").await;
    let path = format!("/services/{service}/domains");
    let added = server.post(&path, As::Session(&owner), json!({ "host": "Тест.РФ", "primary": true })).await.unwrap().expect(201).unwrap();
    assert_eq!(added.text_at("/host"), "xn--e1aybc.xn--p1ai");
    let taken =
        server.post(&format!("/services/{theirs}/domains"), As::Session(&other), json!({ "host": "xn--e1aybc.xn--p1ai" })).await.unwrap();
    let taken = taken.expect_problem(409, "conflict").unwrap();
    assert!(!taken.text.contains(&owner.organization.to_string()), "the owner is not named");
    let base = &server.control.config().base_domain;
    for host in ["*.example.org", "a_b.example.org", "", "127.0.0.1", &format!("x.{base}"), base.as_str()] {
        server.post(&path, As::Session(&owner), json!({ "host": host })).await.unwrap().expect_problem(422, "invalid").unwrap();
    }
    let list = server.get(&path, As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!((&list.json["data"][0]["primary"], &list.json["data"][1]["primary"]), (&json!(false), &json!(true)));
    // The other's domain id does not work through one's own service.
    let (_, other_environment) = tree::project(&server, &owner, "Other").await;
    let neighbour = tree::service(&server, &owner, &other_environment, "Web").await;
    let id = added.text_at("/id");
    server
        .delete(&format!("/services/{neighbour}/domains/{id}"), As::Session(&owner))
        .await
        .unwrap()
        .expect_problem(404, "not-found")
        .unwrap();
    server.delete(&format!("{path}/{id}"), As::Session(&owner)).await.unwrap().expect(204).unwrap();
    server
        .post(&format!("/services/{theirs}/domains"), As::Session(&other), json!({ "host": "xn--e1aybc.xn--p1ai" }))
        .await
        .unwrap()
        .expect(201)
        .unwrap();
}

#[tokio::test]
async fn a_volume_that_is_mounted_stays() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (_, environment) = tree::project(&server, &owner, "Shop").await;
    let service = tree::service(&server, &owner, &environment, "Web").await;
    let made = server
        .post(&format!("/services/{service}/volumes"), As::Session(&owner), json!({ "name": "data", "path": "/data" }))
        .await
        .unwrap();
    let volume = made.expect(201).unwrap().text_at("/id").to_owned();
    server.delete(&format!("/volumes/{volume}"), As::Session(&owner)).await.unwrap().expect_problem(409, "conflict").unwrap();
    // Another service cannot mount it.
    let neighbour = tree::service(&server, &owner, &environment, "Worker").await;
    let mount = json!({ "configuration": { "mounts": [{ "type": "volume", "volume": volume, "path": "/data" }] } });
    tree::patch(&server, &owner, &format!("/services/{neighbour}"), mount).await.expect_problem(422, "invalid").unwrap();
    tree::patch(&server, &owner, &format!("/services/{service}"), json!({ "configuration": { "mounts": [] } })).await.expect(200).unwrap();
    server.delete(&format!("/volumes/{volume}"), As::Session(&owner)).await.unwrap().expect(204).unwrap();
    let list = server.get(&format!("/services/{service}/volumes"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(list.json["data"], json!([]));
}

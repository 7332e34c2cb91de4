//! Projects and environments: names, copies, deletion, tenants.

use serde_json::json;
use testkit::{As, TestServer};

use crate::tree;

#[tokio::test]
async fn a_project_comes_with_production_and_names_are_unique_in_the_organization() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (project, environment) = tree::project(&server, &owner, "My Shop!").await;
    let shown = server.get(&format!("/projects/{project}"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!((shown.text_at("/slug"), shown.text_at("/name"), shown.header("etag")), ("my-shop", "My Shop!", Some("\"1\"")));
    let production = server.get(&format!("/environments/{environment}"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!((production.text_at("/slug"), &production.json["is_default"]), ("production", &json!(true)));
    let path = format!("/organizations/{}/projects", owner.organization);
    server.post(&path, As::Session(&owner), json!({ "name": "my shop" })).await.unwrap().expect_problem(409, "name-taken").unwrap();
    for (body, pointer) in [
        (json!({ "name": "" }), "/name"),
        (json!({ "name": "x", "slug": "A" }), "/slug"),
        (json!({ "name": "日本" }), "/slug"),
        (json!({ "name": "x", "icon": "http://x/y.png" }), "/icon"),
        (json!({ "name": "x", "nmae": "typo" }), "/nmae"),
    ] {
        let refused = server.post(&path, As::Session(&owner), body).await.unwrap().expect_problem(422, "invalid").unwrap();
        assert_eq!(refused.text_at("/errors/0/pointer"), pointer, "{}", refused.text);
    }
    // Another organization may use the same name, and sees nothing of this one.
    let other = server.second_person().await.unwrap();
    tree::project(&server, &other, "My Shop").await;
    for path in [format!("/projects/{project}"), format!("/environments/{environment}"), format!("/projects/{project}/environments")] {
        server.get(&path, As::Session(&other)).await.unwrap().expect_problem(404, "not-found").unwrap();
    }
}

#[tokio::test]
async fn slugs_find_things_where_a_person_would_type_them() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (_, environment) = tree::project(&server, &owner, "Shop").await;
    let service = tree::service(&server, &owner, &environment, "Web").await;
    let organization =
        server.get(&format!("/organizations/{}", owner.organization), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    let path = format!("/services/{}.shop.production.web", organization.text_at("/slug"));
    let found = server.get(&path, As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(found.text_at("/id"), service);
    let other = server.second_person().await.unwrap();
    server.get(&path, As::Session(&other)).await.unwrap().expect_problem(404, "not-found").unwrap();
}

#[tokio::test]
async fn a_stale_change_is_refused() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (project, _) = tree::project(&server, &owner, "Shop").await;
    let path = format!("/projects/{project}");
    let change = async |version: &str, name: &str| {
        let request =
            server.request("PATCH".parse().unwrap(), &path, As::Session(&owner)).header("if-match", version).json(&json!({ "name": name }));
        server.send(request).await.unwrap()
    };
    change("\"1\"", "One").await.expect(200).unwrap();
    change("\"1\"", "Two").await.expect_problem(412, "precondition-failed").unwrap();
    let shown = server.get(&path, As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!((shown.text_at("/name"), &shown.json["version"]), ("One", &json!(2)));
}

#[tokio::test]
async fn a_copy_has_settings_and_variables_and_no_history() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (project, environment) = tree::project(&server, &owner, "Shop").await;
    let service = tree::service(&server, &owner, &environment, "Web").await;
    tree::deploy(&server, &owner, &service).await;
    for (level, name) in
        [(format!("/projects/{project}"), "P"), (format!("/environments/{environment}"), "E"), (format!("/services/{service}"), "S")]
    {
        let body = json!({ "set": [{ "name": name, "kind": "secret", "value": format!("value of {name}") }] });
        tree::patch(&server, &owner, &format!("{level}/variables"), body).await.expect(200).unwrap();
    }
    let copy = server
        .post(&format!("/projects/{project}/duplicate"), As::Session(&owner), json!({ "name": "Shop two" }))
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    let copied = copy.text_at("/id").to_owned();
    let environments = server.get(&format!("/projects/{copied}/environments"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    let new_environment = environments.text_at("/data/0/id").to_owned();
    assert_ne!(new_environment, environment);
    let services =
        server.get(&format!("/environments/{new_environment}/services"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    let new_service = services.text_at("/data/0/id").to_owned();
    assert_eq!(services.text_at("/data/0/app_name"), "web-production-shop-two");
    assert_eq!((&services.json["data"][0]["current_release"], &services.json["data"][0]["draft"]), (&json!(null), &json!(true)));
    // The copied secret opens at its new place.
    for (level, name) in
        [(format!("/projects/{copied}"), "P"), (format!("/environments/{new_environment}"), "E"), (format!("/services/{new_service}"), "S")]
    {
        let shown =
            server.post(&format!("{level}/variables/{name}/reveal"), As::Session(&owner), json!({})).await.unwrap().expect(200).unwrap();
        assert_eq!(shown.text_at("/value"), format!("value of {name}"));
    }
    let staging = json!({ "name": "Staging", "variables": false });
    let made =
        server.post(&format!("/environments/{environment}/duplicate"), As::Session(&owner), staging).await.unwrap().expect(201).unwrap();
    let path = format!("/environments/{}/variables", made.text_at("/id"));
    let none = server.get(&path, As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(none.json["data"], json!([]));
}

#[tokio::test]
async fn a_deletion_shows_its_plan_and_leaves_nothing() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (project, environment) = tree::project(&server, &owner, "Shop").await;
    let service = tree::service(&server, &owner, &environment, "Web").await;
    tree::deploy(&server, &owner, &service).await;
    server
        .post(&format!("/services/{service}/domains"), As::Session(&owner), json!({ "host": "shop.example.org" }))
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    server
        .post(&format!("/services/{service}/volumes"), As::Session(&owner), json!({ "name": "data" }))
        .await
        .unwrap()
        .expect(201)
        .unwrap();
    server.delete(&format!("/environments/{environment}"), As::Session(&owner)).await.unwrap().expect_problem(409, "conflict").unwrap();
    let plan = server.get(&format!("/projects/{project}/deletion-plan"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(
        (&plan.json["services"], &plan.json["domains"], &plan.json["volumes"]),
        (&json!(["Web"]), &json!(["shop.example.org"]), &json!(["Web/data"]))
    );
    server.delete(&format!("/projects/{project}?volumes=true"), As::Session(&owner)).await.unwrap().expect(202).unwrap();
    for _ in 0..5 {
        server.work().await.unwrap();
        server.clock.advance(chrono::TimeDelta::seconds(120));
    }
    let owner = server.again(&owner).await.unwrap();
    for path in [format!("/services/{service}"), format!("/environments/{environment}"), format!("/projects/{project}")] {
        server.get(&path, As::Session(&owner)).await.unwrap().expect_problem(404, "not-found").unwrap();
    }
    // The name is free again.
    tree::project(&server, &owner, "Shop").await;
}

#[tokio::test]
async fn search_and_overview_show_only_ones_own() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let other = server.second_person().await.unwrap();
    let (_, environment) = tree::project(&server, &owner, "Lighthouse shop").await;
    tree::service(&server, &owner, &environment, "Shop window").await;
    tree::project(&server, &other, "Secret shop").await;
    let found = server.get("/search?q=shop", As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert!(
        found.text.contains("Lighthouse shop") && found.text.contains("Shop window") && !found.text.contains("Secret shop"),
        "{}",
        found.text
    );
    let overview =
        server.get(&format!("/organizations/{}/overview", owner.organization), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!((&overview.json["projects"], &overview.json["services"]), (&json!(1), &json!(1)), "{}", overview.text);
}

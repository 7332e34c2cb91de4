//! Many at once: actions on services, tags on projects, an organization with all that is in it.

use serde_json::json;
use testkit::{As, TestServer};

use crate::tree;

#[tokio::test]
async fn each_service_gets_an_answer_of_its_own() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (project, environment) = tree::project(&server, &owner, "Shop").await;
    let running = tree::service(&server, &owner, &environment, "Running").await;
    tree::deploy(&server, &owner, &running).await;
    let fresh = tree::service(&server, &owner, &environment, "Fresh").await;
    let other = server.post(&format!("/projects/{project}/environments"), As::Session(&owner), json!({ "name": "Staging" })).await.unwrap();
    let staging = other.expect(201).unwrap().text_at("/id").to_owned();
    let elsewhere = tree::service(&server, &owner, &staging, "Elsewhere").await;
    let path = format!("/environments/{environment}/services/actions");
    let act = async |body: serde_json::Value| server.post(&path, As::Session(&owner), body).await.unwrap();
    let all = json!([running, fresh, elsewhere]);

    let done = act(json!({ "action": "restart", "services": all })).await.expect(200).unwrap();
    assert_eq!((&done.json["data"][0]["ok"], done.text_at("/data/0/service")), (&json!(true), running.as_str()));
    assert!(done.text_at("/data/0/deployment").starts_with("dep_"), "{}", done.text);
    assert_eq!((&done.json["data"][1]["ok"], done.text_at("/data/1/code")), (&json!(false), "conflict"), "it has no release yet");
    assert_eq!(done.text_at("/data/2/code"), "not-found", "another environment's service");
    server.work().await.unwrap();
    act(json!({ "action": "stop", "services": [running] })).await.expect(200).unwrap();
    server.work().await.unwrap();
    let shown = server.get(&format!("/services/{running}"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(shown.json["stopped"], json!(true));

    let moved = act(json!({ "action": "move", "services": [running, fresh], "environment": staging })).await.expect(200).unwrap();
    assert!(moved.json["data"].as_array().unwrap().iter().all(|item| item["ok"] == json!(true)), "{}", moved.text);
    let shown = server.get(&format!("/services/{fresh}"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(shown.text_at("/environment"), staging);
    for wrong in [
        json!({ "action": "stop", "services": [] }),
        json!({ "action": "move", "services": [running] }),
        json!({ "action": "stop", "services": [running], "environment": staging }),
    ] {
        act(wrong).await.expect_problem(422, "invalid").unwrap();
    }
    // The right is asked for each: a viewer may read the environment and do nothing.
    let viewer = server.second_person().await.unwrap();
    server.join(&owner, &viewer, "viewer").await.unwrap();
    let path = format!("/environments/{staging}/services/actions");
    let refused = server.post(&path, As::Session(&viewer), json!({ "action": "delete", "services": [fresh] })).await.unwrap();
    assert_eq!(refused.expect(200).unwrap().text_at("/data/0/code"), "forbidden");
    let gone = server.post(&path, As::Session(&owner), json!({ "action": "delete", "services": [fresh] })).await.unwrap();
    assert_eq!(gone.expect(200).unwrap().json["data"][0]["ok"], json!(true));
}

#[tokio::test]
async fn tags_go_on_many_projects_and_services_are_listed_by_them() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let organization = format!("/organizations/{}", owner.organization);
    let (shop, environment) = tree::project(&server, &owner, "Shop").await;
    let (bank, _) = tree::project(&server, &owner, "Bank").await;
    let service = tree::service(&server, &owner, &environment, "Web").await;
    let mut tags = Vec::new();
    for name in ["red", "blue"] {
        let made =
            server.post(&format!("{organization}/tags"), As::Session(&owner), json!({ "name": name, "color": "#0b7285" })).await.unwrap();
        tags.push(made.expect(201).unwrap().text_at("/id").to_owned());
    }
    let assign =
        async |body: serde_json::Value| server.post(&format!("{organization}/tags/assign"), As::Session(&owner), body).await.unwrap();
    assign(json!({ "projects": [shop, bank], "add": tags })).await.expect(204).unwrap();
    assign(json!({ "projects": [bank], "remove": [tags[0]] })).await.expect(204).unwrap();
    let shown = server.get(&format!("/projects/{bank}"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!((shown.json["tags"].as_array().unwrap().len(), shown.text_at("/tags/0/name")), (1, "blue"));
    let services = async |tag: &str| {
        let reply = server.get(&format!("{organization}/services?tag={tag}"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
        reply.json["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(services(&tags[0]).await, [service]);
    assign(json!({ "projects": [shop], "remove": [tags[0]] })).await.expect(204).unwrap();
    assert!(services(&tags[0]).await.is_empty());
    let stranger = server.second_person().await.unwrap();
    let (foreign, _) = tree::project(&server, &stranger, "Foreign").await;
    let refused = assign(json!({ "projects": [shop, foreign], "add": [tags[0]] })).await.expect_problem(422, "invalid").unwrap();
    assert_eq!(refused.text_at("/errors/0/pointer"), "/projects/1");
    assert!(services(&tags[0]).await.is_empty(), "all or nothing");
}

#[tokio::test]
async fn an_organization_goes_with_its_projects_when_that_is_said() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (project, environment) = tree::project(&server, &owner, "Shop").await;
    let service = tree::service(&server, &owner, &environment, "Web").await;
    tree::deploy(&server, &owner, &service).await;
    let path = format!("/organizations/{}", owner.organization);
    let plan = server.get(&format!("{path}/deletion-plan"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!((&plan.json["projects"], &plan.json["services"]), (&json!(["Shop"]), &json!(["Web"])), "{}", plan.text);
    server.delete(&path, As::Session(&owner)).await.unwrap().expect_problem(409, "conflict").unwrap();
    server.delete(&format!("{path}?projects=true"), As::Session(&owner)).await.unwrap().expect(204).unwrap();
    server.get(&path, As::Session(&owner)).await.unwrap().expect_problem(404, "not-found").unwrap();
    for _ in 0..5 {
        server.work().await.unwrap();
        server.clock.advance(chrono::TimeDelta::seconds(120));
    }
    let mut read = server.control.store().read().await.unwrap();
    assert!(store::services::find_any(&mut read, service.parse().unwrap()).await.unwrap().is_none(), "what ran is gone");
    assert!(store::projects::find_any(&mut read, project.parse().unwrap()).await.unwrap().is_none());
}

//! Deployments, releases, runs, logs and terminals from outside.

use std::collections::BTreeMap;

use domain::id::{DeploymentId, EnvironmentId, Id, ProjectId, ServiceId};
use domain::project::EnvironmentKind;
use domain::service::{Configuration, ServiceKind, Source};
use domain::{Clock, SystemEntropy};
use reqwest::Method;
use serde_json::json;
use store::Json;
use testkit::scripted_logs::LogStream;
use testkit::{As, Person, TestServer};

/// A service of the person's organization, without the road through its creation.
async fn service(server: &TestServer, person: &Person, name: &str) -> ServiceId {
    let (clock, at) = (&*server.clock, server.clock.now());
    let project = store::projects::ProjectRow {
        id: ProjectId::new(clock, &SystemEntropy),
        organization_id: person.organization,
        slug: name.into(),
        name: name.into(),
        description: String::new(),
        icon: None,
        version: 1,
        created_at: at,
        updated_at: at,
        deleting_at: None,
    };
    let environment = store::environments::EnvironmentRow {
        id: EnvironmentId::new(clock, &SystemEntropy),
        organization_id: person.organization,
        project_id: project.id,
        slug: "production".into(),
        name: "production".into(),
        kind: EnvironmentKind::Production,
        is_default: true,
        version: 1,
        created_at: at,
        updated_at: at,
        deleting_at: None,
    };
    let source = Source::Git { url: "https://git.example/shop".into(), reference: None, credential: None, submodules: false, lfs: false };
    let row = store::services::ServiceRow {
        id: ServiceId::new(clock, &SystemEntropy),
        organization_id: person.organization,
        project_id: project.id,
        environment_id: environment.id,
        slug: "web".into(),
        kind: ServiceKind::App,
        name: "web".into(),
        description: String::new(),
        icon: None,
        app_name: format!("web-{name}"),
        configuration: Json(Configuration { source: Some(source), ..Configuration::default() }),
        version: 1,
        revision: 1,
        released_revision: None,
        current_release_id: None,
        stopped: false,
        fence: 0,
        created_at: at,
        updated_at: at,
        deleting_at: None,
    };
    let mut write = server.control.store().write().await.unwrap();
    store::projects::insert(&mut write, &project).await.unwrap();
    store::environments::insert(&mut write, &environment).await.unwrap();
    store::services::insert(&mut write, &row).await.unwrap();
    write.commit_without_audit("test").await.unwrap();
    row.id
}

#[tokio::test]
async fn a_deployment_from_outside() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let me = As::Session(&owner);
    let id = service(&server, &owner, "shop").await;
    let path = format!("/services/{id}/deployments");
    let reply = server.post(&path, me, json!({ "title": "First" })).await.unwrap().expect(202).unwrap();
    let deployment = reply.text_at("/id").to_owned();
    assert_eq!((reply.text_at("/phase"), reply.json["position"].as_u64()), ("queued", Some(0)));
    assert_eq!(reply.header("location"), Some(format!("/api/v1/deployments/{deployment}").as_str()));
    let bare = server.plain(Method::POST, &format!("/api/v1{path}")).header("cookie", format!("seaway={}", owner.cookie));
    let bare = bare.header("x-csrf-token", &owner.csrf).json(&json!({}));
    server.send(bare).await.unwrap().expect_problem(400, "idempotency-key-missing").unwrap();
    for body in [json!({ "reference": "-x" }), json!({ "reference": "" }), json!({ "title": "x".repeat(201) })] {
        server.post(&path, me, body).await.unwrap().expect_problem(422, "invalid").unwrap();
    }
    server.work().await.unwrap();
    let live = server.get(&format!("/deployments/{deployment}?wait=5"), me).await.unwrap().expect(200).unwrap();
    assert_eq!((live.text_at("/phase"), live.json["version"].as_u64()), ("live", Some(1)));
    assert_eq!(live.json["steps"].as_array().unwrap().len(), 10);
    let status = server.get(&format!("/services/{id}/status"), me).await.unwrap().expect(200).unwrap();
    assert_eq!(status.text_at("/state"), "live");
    server.post(&format!("/deployments/{deployment}/cancel"), me, json!({})).await.unwrap().expect_problem(409, "conflict").unwrap();
    // Pages, and a cursor of one list in another.
    server.clock.advance(chrono::TimeDelta::seconds(1));
    server.post(&format!("/services/{id}/restart"), me, json!({})).await.unwrap().expect(202).unwrap();
    server.work().await.unwrap();
    let page = server.get(&format!("{path}?limit=1"), me).await.unwrap().expect(200).unwrap();
    let cursor = page.text_at("/next_cursor").to_owned();
    assert!(page.json["has_more"] == true && page.json["data"].as_array().unwrap().len() == 1);
    let rest = server.get(&format!("{path}?limit=1&cursor={cursor}"), me).await.unwrap().expect(200).unwrap();
    assert_eq!(rest.text_at("/data/0/id"), deployment);
    let foreign = format!("/services/{id}/releases?cursor={cursor}");
    server.get(&foreign, me).await.unwrap().expect_problem(400, "cursor-invalid").unwrap();
    let releases = server.get(&format!("/services/{id}/releases"), me).await.unwrap().expect(200).unwrap();
    assert_eq!((releases.json["data"].as_array().unwrap().len(), releases.json["data"][0]["current"].as_bool()), (1, Some(true)));
    let scale = server.post(&format!("/services/{id}/scale"), me, json!({ "processes": { "web": 99 } })).await.unwrap();
    scale.expect_problem(422, "invalid").unwrap();
    let run = server.post(&format!("/services/{id}/runs"), me, json!({ "command": ["ls"] })).await.unwrap().expect(202).unwrap();
    server.work().await.unwrap();
    let run = server.get(&format!("/runs/{}", run.text_at("/id")), me).await.unwrap().expect(200).unwrap();
    assert_eq!((run.text_at("/state"), run.json["exit_code"].as_i64()), ("succeeded", Some(0)));
}

#[tokio::test]
async fn what_is_foreign_is_not_there() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let id = service(&server, &owner, "shop").await;
    let made = server.post(&format!("/services/{id}/deployments"), As::Session(&owner), json!({})).await.unwrap().expect(202).unwrap();
    let deployment = made.text_at("/id").to_owned();
    let stranger = server.second_person().await.unwrap();
    let unknown = DeploymentId::from_uuid(uuid::Uuid::nil());
    let paths = [
        format!("/deployments/{deployment}"),
        format!("/deployments/{unknown}"),
        format!("/deployments/{deployment}/logs"),
        format!("/services/{id}/deployments"),
        format!("/services/{id}/logs"),
        format!("/services/{id}/status"),
    ];
    for path in paths {
        server.get(&path, As::Session(&stranger)).await.unwrap().expect_problem(404, "not-found").unwrap();
    }
    let cancel = server.post(&format!("/deployments/{deployment}/cancel"), As::Session(&stranger), json!({})).await.unwrap();
    cancel.expect_problem(404, "not-found").unwrap();
}

/// Events of a text/event-stream: (event, id, data).
fn events(text: &str) -> Vec<(String, Option<u64>, serde_json::Value)> {
    let blocks = text.split("\n\n").filter(|block| block.contains("event: "));
    blocks
        .map(|block| {
            let fields: BTreeMap<&str, &str> = block.lines().filter_map(|line| line.split_once(": ")).collect();
            (fields["event"].to_owned(), fields.get("id").map(|id| id.parse().unwrap()), serde_json::from_str(fields["data"]).unwrap())
        })
        .collect()
}

#[tokio::test]
async fn logs_as_a_page_as_events_and_as_lines() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let me = As::Session(&owner);
    let id = service(&server, &owner, "shop").await;
    let made = server.post(&format!("/services/{id}/deployments"), me, json!({})).await.unwrap().expect(202).unwrap();
    let deployment = made.text_at("/id").to_owned();
    let stream = LogStream::Deployment(deployment.parse().unwrap());
    let logs = server.scripted.logs();
    logs.line(stream, "one");
    logs.gap(stream, 40);
    logs.line(stream, "two");
    server.work().await.unwrap();
    let path = format!("/deployments/{deployment}/logs");
    let page = server.get(&path, me).await.unwrap().expect(200).unwrap();
    assert_eq!(
        (page.json["ended"].as_bool(), page.json["next_after"].as_u64(), page.json["data"][1]["dropped"].as_u64()),
        (Some(true), Some(42), Some(40))
    );
    let reply = server.send(server.request(Method::GET, &format!("{path}?follow=true"), me)).await.unwrap().expect(200).unwrap();
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let seen: Vec<(String, Option<u64>)> = events(&reply.text).into_iter().map(|(event, id, _)| (event, id)).collect();
    let expected = [("log", Some(1)), ("gap", Some(41)), ("log", Some(42)), ("end", None)].map(|(event, id)| (event.to_owned(), id));
    assert_eq!(seen, expected);
    let resumed = server.request(Method::GET, &path, me).header("accept", "text/event-stream").header("last-event-id", "41");
    let resumed = server.send(resumed).await.unwrap().expect(200).unwrap();
    let seen: Vec<String> = events(&resumed.text).into_iter().map(|(event, id, _)| format!("{event} {id:?}")).collect();
    assert_eq!(seen, ["log Some(42)", "end None"]);
    let lines = server.request(Method::GET, &path, me).header("accept", "application/x-ndjson");
    let lines = server.send(lines).await.unwrap().expect(200).unwrap();
    let kinds: Vec<String> = lines
        .text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["log", "gap", "log", "end"]);
    server.get(&format!("{path}?limit=0"), me).await.unwrap().expect_problem(422, "invalid").unwrap();
}

#[tokio::test]
async fn a_terminal_ticket_works_once_and_only_for_seaways_own_pages() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let me = As::Session(&owner);
    let id = service(&server, &owner, "shop").await;
    let path = format!("/services/{id}/terminals");
    server.post(&path, me, json!({})).await.unwrap().expect_problem(409, "conflict").unwrap();
    server.post(&format!("/services/{id}/deployments"), me, json!({})).await.unwrap().expect(202).unwrap();
    server.work().await.unwrap();
    let ticket = server.post(&path, me, json!({})).await.unwrap().expect(200).unwrap().text_at("/ticket").to_owned();
    let size = control::runs::TerminalSize { columns: 80, rows: 24 };
    assert!(server.control.open_terminal("nonsense", size).await.is_err());
    let (_session, actor) = server.control.open_terminal(&ticket, size).await.unwrap();
    assert!(server.control.open_terminal(&ticket, size).await.is_err(), "used");
    let late = server.post(&path, me, json!({})).await.unwrap().expect(200).unwrap().text_at("/ticket").to_owned();
    server.clock.advance(chrono::TimeDelta::seconds(31));
    assert!(server.control.open_terminal(&late, size).await.is_err(), "too old");
    let foreign = server.plain(Method::GET, "/api/v1/terminal").header("origin", "https://evil.example");
    server.send(foreign).await.unwrap().expect_problem(403, "csrf-rejected").unwrap();
    // An open one ends with the session that asked for it.
    assert!(server.control.terminal_allowed(&actor).await.unwrap());
    server.post("/log-out", me, json!({})).await.unwrap();
    assert!(!server.control.terminal_allowed(&actor).await.unwrap());
}

//! What the operator of the instance sees and decides: the instance's audit log, features, retention, syslog.

use chrono::TimeDelta;
use control::audit::SyslogTarget;
use reqwest::Method;
use serde_json::json;
use store::audit::Verdict;
use testkit::{As, TestServer};
use tokio::io::AsyncReadExt;

use crate::tree;

#[tokio::test]
async fn the_instances_own_log_is_read_by_operators_only() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let stranger = server.second_person().await.unwrap();
    server.patch("/instance", As::Session(&owner), json!({ "name": "Beacon" })).await.unwrap().expect(200).unwrap();
    server.post("/instance/cleanup", As::Session(&owner), json!({})).await.unwrap().expect(200).unwrap();
    let path = "/instance/audit-events";
    let all = server.get(path, As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(all.text_at("/data/0/action"), "instance.cleaned");
    assert_eq!(all.text_at("/data/0/actor/id"), owner.id.to_string(), "a clean-up names who asked for it");
    let some = server.get(&format!("{path}?action=instance.changed&limit=1"), As::Session(&owner)).await.unwrap().expect(200).unwrap();
    assert_eq!((some.json["data"].as_array().unwrap().len(), some.text_at("/data/0/action")), (1, "instance.changed"));
    let csv = server
        .send(server.request(Method::GET, path, As::Session(&owner)).header("accept", "text/csv"))
        .await
        .unwrap()
        .expect(200)
        .unwrap();
    assert!(csv.text.contains("\"instance.set_up\"") && csv.text.starts_with("sequence,"), "{}", csv.text);
    server.get(path, As::Session(&stranger)).await.unwrap().expect_problem(404, "not-found").unwrap();
    let token = server.token(&owner, &["*"]).await.unwrap();
    server.get(path, As::Token(&token)).await.unwrap().expect_problem(404, "not-found").unwrap();
}

#[tokio::test]
async fn a_feature_that_is_off_is_off_for_everybody() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (_, environment) = tree::project(&server, &owner, "Shop").await;
    let service = tree::service(&server, &owner, &environment, "Web").await;
    let terminal = async || server.post(&format!("/services/{service}/terminals"), As::Session(&owner), json!({})).await.unwrap();
    assert_ne!(terminal().await.json["code"], "feature-off");
    let off = json!({ "features": { "terminal": false, "tokens": false, "uploads": false, "commands": false } });
    let shown = server.patch("/instance", As::Session(&owner), off).await.unwrap().expect(200).unwrap();
    assert_eq!(shown.json["features"]["terminal"], json!({ "on": false, "fixed": false }));
    assert_eq!(shown.json["features"]["organizations"], json!({ "on": true, "fixed": false }));
    terminal().await.expect_problem(403, "feature-off").unwrap();
    let token = json!({ "name": "x", "scopes": ["organization:read"] });
    server.post("/me/tokens", As::Session(&owner), token.clone()).await.unwrap().expect_problem(403, "feature-off").unwrap();
    let run = json!({ "command": ["true"] });
    server.post(&format!("/services/{service}/runs"), As::Session(&owner), run).await.unwrap().expect_problem(403, "feature-off").unwrap();
    server.patch("/instance", As::Session(&owner), json!({ "features": { "tokens": true } })).await.unwrap().expect(200).unwrap();
    server.post("/me/tokens", As::Session(&owner), token).await.unwrap().expect(201).unwrap();
    terminal().await.expect_problem(403, "feature-off").unwrap();
}

#[tokio::test]
async fn audit_entries_go_after_the_days_of_the_setting_and_the_rest_is_proved() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (project, _) = tree::project(&server, &owner, "Old").await;
    for days in [0, 29, 3651] {
        let refused = server.patch("/instance", As::Session(&owner), json!({ "audit_days": days })).await.unwrap();
        refused.expect_problem(422, "invalid").unwrap();
    }
    server.clock.advance(TimeDelta::days(40));
    assert_eq!(server.control.purge_expired().await.unwrap().audit_entries, 0, "for ever, unless the operator says otherwise");
    let owner = server.again(&owner).await.unwrap();
    server.patch("/instance", As::Session(&owner), json!({ "audit_days": 30 })).await.unwrap().expect(200).unwrap();
    tree::project(&server, &owner, "New").await;
    assert!(server.control.purge_expired().await.unwrap().audit_entries > 2);
    let path = format!("/organizations/{}/audit-events", owner.organization);
    let left = server.get(&path, As::Session(&owner)).await.unwrap().expect(200).unwrap();
    let actions: Vec<&str> = left.json["data"].as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["audit.purged", "project.created"], "{}", left.text);
    assert!(!left.text.contains(&project));
    for report in server.control.verify_audit(None).await.unwrap() {
        assert!(matches!(report.verdict, Verdict::Intact { .. }), "{report:?}");
    }
    assert_eq!(server.control.purge_expired().await.unwrap().audit_entries, 0, "a day's worth at a time");
    // What is left is still guarded.
    let mut write = server.control.store().write().await.unwrap();
    store::execute!(&mut write, "UPDATE audit_heads SET removed_hash = hash WHERE removed > 0").await.unwrap();
    write.commit_without_audit("test").await.unwrap();
    let reports = server.control.verify_audit(None).await.unwrap();
    assert!(reports.iter().any(|report| matches!(report.verdict, Verdict::Broken { .. })), "{reports:?}");
}

#[tokio::test]
async fn every_entry_goes_to_syslog_once_and_waits_while_nobody_listens() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    tree::project(&server, &owner, "Shop \"one\"").await;
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = SyslogTarget::Tcp(gone.local_addr().unwrap().to_string());
    drop(gone);
    assert!(server.control.stream_audit(&nobody).await.is_err());

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = SyslogTarget::Tcp(listener.local_addr().unwrap().to_string());
    let receiver = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    });
    let sent = server.control.stream_audit(&target).await.unwrap();
    let text = receiver.await.unwrap();
    assert!(sent >= 3, "{sent}");
    // Each message after its length in bytes.
    let (mut rest, mut messages) = (text.as_str(), Vec::new());
    while let Some((length, tail)) = rest.split_once(' ') {
        let (message, tail) = tail.split_at(length.parse().unwrap());
        messages.push(message);
        rest = tail;
    }
    assert_eq!(messages.len() as u64, sent);
    let project = messages.iter().find(|message| message.contains("project.created")).unwrap();
    assert!(
        project.starts_with("<110>1 2026-11-01T00:00:00.000000Z localhost seaway - project.created [seaway@32473 chain=\"org_"),
        "{project}"
    );
    assert!(project.contains("resource_name=\"Shop \\\"one\\\"\"") && project.contains(&format!("actor=\"{}\"", owner.id)), "{project}");
    assert!(messages.iter().any(|message| message.contains("chain=\"instance\"")));

    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let udp = SyslogTarget::Udp(socket.local_addr().unwrap().to_string());
    assert_eq!(server.control.stream_audit(&udp).await.unwrap(), 0, "all were sent");
    tree::project(&server, &owner, "Two").await;
    assert_eq!(server.control.stream_audit(&udp).await.unwrap(), 1);
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).await.unwrap();
    assert!(String::from_utf8_lossy(&buffer[..length]).contains("project.created"));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    tree::project(&server, &owner, "Three").await;
    assert_eq!(server.control.stream_audit(&SyslogTarget::Unix(path)).await.unwrap(), 1);
    assert!(socket.recv(&mut buffer).await.unwrap() > 100);
}

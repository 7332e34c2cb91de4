//! Health: each part, remembered for a moment, without the words of the database.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;
use store::jobs::{self, NewJob, Pool};
use testkit::{Reply, TestServer};

async fn health(server: &TestServer) -> Reply {
    server.send(server.plain(Method::GET, "/health")).await.unwrap()
}

fn part(reply: &Reply, name: &str) -> (bool, String) {
    let parts = reply.json["parts"].as_array().unwrap();
    let part = parts.iter().find(|part| part["name"] == name).unwrap_or_else(|| panic!("no part {name}: {}", reply.text));
    (part["ok"].as_bool().unwrap(), part["detail"].as_str().unwrap().to_owned())
}

async fn enqueue(server: &TestServer, job: NewJob) {
    let mut write = server.control.store().write().await.unwrap();
    jobs::enqueue(&mut write, server.clock.as_ref(), &domain::SystemEntropy, job).await.unwrap();
    write.commit_without_audit("test").await.unwrap();
}

#[tokio::test]
async fn work_that_nobody_takes_is_not_well_and_the_answer_is_remembered_for_a_second() {
    let server = TestServer::new().await.unwrap();
    let well = health(&server).await.expect(200).unwrap();
    assert!(part(&well, "jobs").0 && part(&well, "scheduler").0 && part(&well, "database").0);
    let due = server.control.clock().now() - TimeDelta::minutes(3);
    enqueue(&server, NewJob { run_at: Some(due), ..NewJob::new("test.nobody", None, json!({})) }).await;
    assert!(part(&health(&server).await, "jobs").0, "the answer of this second");
    server.clock.advance(TimeDelta::seconds(1));
    let stuck = health(&server).await.expect(503).unwrap();
    let (ok, detail) = part(&stuck, "jobs");
    assert!(!ok && detail.contains("background work") && detail.contains("181 s"), "{detail}");
    assert!(part(&stuck, "database").0);
}

#[tokio::test]
async fn what_waits_for_an_earlier_one_of_its_service_does_not_count_while_that_one_runs() {
    let server = TestServer::new().await.unwrap();
    let now = server.control.clock().now();
    let job = |run_at| NewJob {
        pool: Pool::Deployments,
        serial_key: Some("one".into()),
        run_at: Some(run_at),
        ..NewJob::new("test.serial", None, json!({}))
    };
    enqueue(&server, job(now)).await;
    enqueue(&server, job(now)).await;
    let mut write = server.control.store().write().await.unwrap();
    let claimer = jobs::Claimer { owner: "test", lease_until: now + TimeDelta::minutes(10) };
    assert_eq!(jobs::claim(&mut write, Pool::Deployments, &claimer, now, 5).await.unwrap().len(), 1);
    write.commit_without_audit("test").await.unwrap();
    server.clock.advance(TimeDelta::minutes(5));
    assert!(part(&health(&server).await, "jobs").0, "a long build is no fault");
    server.clock.advance(TimeDelta::minutes(6));
    let mut write = server.control.store().write().await.unwrap();
    jobs::reclaim_previous_owner(&mut write, "another").await.unwrap();
    write.commit_without_audit("test").await.unwrap();
    assert!(!part(&health(&server).await, "jobs").0, "its worker is gone");
}

#[tokio::test]
async fn a_scheduler_that_stands_still_is_not_well() {
    let server = TestServer::new().await.unwrap();
    let now = server.control.clock().now();
    let mut write = server.control.store().write().await.unwrap();
    assert!(jobs::take_turn(&mut write, control::running::sweep::KIND, now, now + TimeDelta::seconds(60)).await.unwrap());
    write.commit_without_audit("test").await.unwrap();
    server.clock.advance(TimeDelta::minutes(5));
    assert!(part(&health(&server).await, "scheduler").0);
    server.clock.advance(TimeDelta::minutes(2));
    let late = health(&server).await.expect(503).unwrap();
    assert!(!part(&late, "scheduler").0, "{}", late.text);
}

#[tokio::test]
async fn strangers_do_not_read_the_words_of_the_database() {
    let server = TestServer::new().await.unwrap();
    server.control.store().close().await;
    let ill = health(&server).await.expect(503).unwrap();
    assert_eq!(part(&ill, "database"), (false, "does not answer".to_owned()));
    assert!(!ill.text.contains("pool") && !ill.text.contains("sqlite") && !ill.text.contains("sqlx"), "{}", ill.text);
}

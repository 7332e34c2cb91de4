//! Limits hold on every road: copies count, and inherited variables count.

use domain::variables::ENVIRONMENT_VARIABLES_MAX;
use serde_json::json;
use store::Unit;
use testkit::{As, TestServer};

use crate::tree;

/// Rows straight into the store: a thousand calls of the API would take long.
async fn fill(server: &TestServer, text: &str) {
    // One statement, the same for both databases: numbers by a recursive query.
    let mut write = server.control.store().write().await.unwrap();
    store::execute!(&mut write, Box::leak(text.to_owned().into_boxed_str())).await.unwrap();
    write.commit_without_audit("test").await.unwrap();
}

#[tokio::test]
async fn copies_count() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (project, environment) = tree::project(&server, &owner, "Shop").await;
    let service = tree::service(&server, &owner, &environment, "Web").await;
    let now = server.control.clock().now();
    let mut write = server.control.store().write().await.unwrap();
    let parsed: domain::id::ServiceId = service.parse().unwrap();
    let old = store::services::find_any(&mut write, parsed).await.unwrap().unwrap();
    for number in 0..499 {
        let row = store::services::ServiceRow {
            id: domain::id::ServiceId::new(server.clock.as_ref(), &domain::SystemEntropy),
            slug: format!("s{number}"),
            app_name: format!("filler-{number}"),
            ..old.clone()
        };
        store::services::insert(&mut write, &row).await.unwrap();
    }
    write.commit_without_audit("test").await.unwrap();
    let copy = server.post(&format!("/services/{service}/duplicate"), As::Session(&owner), json!({ "name": "One more" })).await.unwrap();
    let refused = copy.expect_problem(403, "limit-exceeded").unwrap();
    assert_eq!((&refused.json["limit"]["current"], &refused.json["limit"]["max"]), (&json!(500), &json!(500)));

    let mut write = server.control.store().write().await.unwrap();
    for number in 0..999 {
        let row = store::projects::ProjectRow {
            id: domain::id::ProjectId::new(server.clock.as_ref(), &domain::SystemEntropy),
            organization_id: owner.organization,
            slug: format!("p{number}"),
            name: format!("P {number}"),
            description: String::new(),
            icon: None,
            version: 1,
            created_at: now,
            updated_at: now,
            deleting_at: None,
        };
        store::projects::insert(&mut write, &row).await.unwrap();
    }
    write.commit_without_audit("test").await.unwrap();
    let body = json!({ "name": "One more", "services": [] });
    let refused = server.post(&format!("/projects/{project}/duplicate"), As::Session(&owner), body).await.unwrap();
    refused.expect_problem(403, "limit-exceeded").unwrap();
}

#[tokio::test]
async fn inherited_variables_count() {
    let server = TestServer::new().await.unwrap();
    let owner = server.owner().await.unwrap();
    let (project, environment) = tree::project(&server, &owner, "Shop").await;
    let service = tree::service(&server, &owner, &environment, "Web").await;
    let set = async |level: &str, name: &str| {
        let body = json!({ "set": [{ "name": name, "value": "x" }] });
        tree::patch(&server, &owner, &format!("{level}/variables"), body).await
    };
    let (project, environment, service) =
        (format!("/projects/{project}"), format!("/environments/{environment}"), format!("/services/{service}"));
    set(&project, "SEED").await.expect(200).unwrap();
    set(&environment, "SEED").await.expect(200).unwrap();
    set(&service, "SEED").await.expect(200).unwrap();
    // Copies of the seed's row of the service, until all levels together have two fewer than allowed.
    let wanted = ENVIRONMENT_VARIABLES_MAX - 5;
    let id = if matches!(server.control.store().read().await.unwrap().dialect(), store::Dialect::Sqlite) {
        "randomblob(16)"
    } else {
        "gen_random_uuid()"
    };
    fill(
        &server,
        &format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {wanted}) \
             INSERT INTO variables (id, organization_id, scope_kind, scope_id, name, kind, version, refers_to, created_at, updated_at) \
             SELECT {id}, organization_id, scope_kind, scope_id, 'FILLER_' || n, kind, version, refers_to, created_at, updated_at \
             FROM variables, numbers WHERE scope_kind = 'service'"
        ),
    )
    .await;
    set(&service, "ONE").await.expect(200).unwrap();
    set(&environment, "ONE").await.expect(200).unwrap();
    for level in [&project, &environment, &service] {
        let refused = set(level, "TWO").await.expect_problem(403, "limit-exceeded").unwrap();
        assert_eq!(refused.json["limit"]["current"], json!(ENVIRONMENT_VARIABLES_MAX), "{level}");
    }
    // What is there can be changed.
    set(&service, "ONE").await.expect(200).unwrap();
}

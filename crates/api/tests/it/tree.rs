//! One of each resource below an organization, straight into the store, and short ways to make them through the API.

use chrono::{DateTime, Utc};
use domain::credential::CredentialKind;
use domain::id::{CredentialId, EnvironmentId, Id, OrganizationId, ProjectId, ServiceId, UploadId, VolumeId};
use domain::project::EnvironmentKind;
use domain::service::{Configuration, ServiceKind};
use domain::{Clock, SystemEntropy};
use serde_json::{Value, json};
use store::audit::ActorKind;
use store::{Json, Store};
use testkit::{As, Person, Reply, TestServer};

pub struct Tree {
    pub project: ProjectId,
    pub environment: EnvironmentId,
    pub service: ServiceId,
    pub volume: VolumeId,
    pub credential: CredentialId,
    pub upload: UploadId,
}

/// Writes one of each.
pub async fn plant(store: &Store, clock: &dyn Clock, organization: OrganizationId) -> Tree {
    let (entropy, now): (_, DateTime<Utc>) = (SystemEntropy, clock.now());
    let tree = Tree {
        project: ProjectId::new(clock, &entropy),
        environment: EnvironmentId::new(clock, &entropy),
        service: ServiceId::new(clock, &entropy),
        volume: VolumeId::new(clock, &entropy),
        credential: CredentialId::new(clock, &entropy),
        upload: UploadId::new(clock, &entropy),
    };
    let mut write = store.write().await.unwrap();
    let project = store::projects::ProjectRow {
        id: tree.project,
        organization_id: organization,
        slug: tree.project.to_string().replace('_', "-"),
        name: "Shop".into(),
        description: String::new(),
        icon: None,
        version: 1,
        created_at: now,
        updated_at: now,
        deleting_at: None,
    };
    store::projects::insert(&mut write, &project).await.unwrap();
    let environment = store::environments::EnvironmentRow {
        id: tree.environment,
        organization_id: organization,
        project_id: tree.project,
        slug: "staging".into(),
        name: "Staging".into(),
        kind: EnvironmentKind::Staging,
        is_default: false,
        version: 1,
        created_at: now,
        updated_at: now,
        deleting_at: None,
    };
    store::environments::insert(&mut write, &environment).await.unwrap();
    let service = store::services::ServiceRow {
        id: tree.service,
        organization_id: organization,
        project_id: tree.project,
        environment_id: tree.environment,
        slug: "web".into(),
        kind: ServiceKind::App,
        name: "Web".into(),
        description: String::new(),
        icon: None,
        app_name: format!("web-{}", tree.service.uuid().simple()),
        configuration: Json(Configuration::default()),
        version: 1,
        revision: 1,
        released_revision: None,
        current_release_id: None,
        stopped: false,
        fence: 0,
        created_at: now,
        updated_at: now,
        deleting_at: None,
    };
    store::services::insert(&mut write, &service).await.unwrap();
    let volume = store::volumes::VolumeRow {
        id: tree.volume,
        organization_id: organization,
        service_id: tree.service,
        name: "data".into(),
        created_at: now,
        deleting_at: None,
    };
    store::volumes::insert(&mut write, &volume).await.unwrap();
    let credential = store::credentials::CredentialRow {
        id: tree.credential,
        organization_id: organization,
        kind: CredentialKind::GitToken,
        name: tree.credential.to_string(),
        sealed_value: vec![1],
        host: None,
        username: None,
        public_line: None,
        fingerprint: None,
        known_hosts: None,
        last_characters: None,
        version: 1,
        author_kind: ActorKind::User,
        author_id: None,
        created_at: now,
        updated_at: now,
    };
    store::credentials::insert(&mut write, &credential).await.unwrap();
    let upload = store::uploads::UploadRow {
        id: tree.upload,
        organization_id: organization,
        service_id: tree.service,
        content_digest: "00".into(),
        format: store::uploads::ArchiveFormat::Zip,
        size_bytes: 1,
        author_kind: ActorKind::User,
        author_id: None,
        created_at: now,
    };
    store::uploads::insert(&mut write, &upload).await.unwrap();
    write.commit_without_audit("test").await.unwrap();
    tree
}

/// A project with its environment `production`, made through the API: their ids.
pub async fn project(server: &TestServer, who: &Person, name: &str) -> (String, String) {
    let path = format!("/organizations/{}/projects", who.organization);
    let made = server.post(&path, As::Session(who), json!({ "name": name })).await.unwrap().expect(201).unwrap();
    let project = made.text_at("/id").to_owned();
    let list = server.get(&format!("/projects/{project}/environments"), As::Session(who)).await.unwrap().expect(200).unwrap();
    (project, list.text_at("/data/0/id").to_owned())
}

/// A service that is an image, made through the API.
pub async fn service(server: &TestServer, who: &Person, environment: &str, name: &str) -> String {
    let configuration = json!({ "source": { "type": "image", "reference": "nginx:1" }, "builder": { "type": "none" } });
    let body = json!({ "name": name, "configuration": configuration });
    let made = server.post(&format!("/environments/{environment}/services"), As::Session(who), body).await.unwrap().expect(201).unwrap();
    made.text_at("/id").to_owned()
}

/// Deploys and runs the jobs until the release serves.
pub async fn deploy(server: &TestServer, who: &Person, service: &str) {
    server.post(&format!("/services/{service}/deployments"), As::Session(who), json!({})).await.unwrap().expect(202).unwrap();
    server.work().await.unwrap();
    let shown = server.get(&format!("/services/{service}"), As::Session(who)).await.unwrap().expect(200).unwrap();
    assert!(shown.json["current_release"].is_string(), "{}", shown.text);
}

/// A change with `If-Match: *`.
pub async fn patch(server: &TestServer, who: &Person, path: &str, body: Value) -> Reply {
    let request = server.request("PATCH".parse().unwrap(), path, As::Session(who)).header("if-match", "*").json(&body);
    server.send(request).await.unwrap()
}

//! Members who see a part of the organization: lists, counters, search and doors all agree.

use serde_json::{Value, json};
use testkit::{As, Person, Reply, TestServer};

use crate::tree;

struct Town {
    server: TestServer,
    owner: Person,
    guest: Person,
    /// (project, environment, services)
    shop: (String, String, Vec<String>),
    bank: (String, String, Vec<String>),
}

impl Town {
    async fn new() -> Self {
        let server = TestServer::new().await.unwrap();
        let owner = server.owner().await.unwrap();
        let guest = server.second_person().await.unwrap();
        server.join(&owner, &guest, "member").await.unwrap();
        let mut parts = Vec::new();
        for name in ["Shop", "Bank"] {
            server.clock.advance(chrono::TimeDelta::seconds(1));
            let (project, environment) = tree::project(&server, &owner, name).await;
            let mut services = Vec::new();
            for service in ["web", "worker"] {
                let id = tree::service(&server, &owner, &environment, &format!("{name} {service}")).await;
                let host = format!("{service}.{}.example.org", name.to_lowercase());
                let path = format!("/services/{id}/domains");
                server.post(&path, As::Session(&owner), json!({ "host": host })).await.unwrap().expect(201).unwrap();
                services.push(id);
            }
            parts.push((project, environment, services));
        }
        let (bank, shop) = (parts.pop().unwrap(), parts.pop().unwrap());
        Self { server, owner, guest, shop, bank }
    }

    async fn allow(&self, lists: Value) -> Reply {
        let path = format!("/organizations/{}/members/{}", self.owner.organization, self.guest.id);
        self.server.patch(&path, As::Session(&self.owner), lists).await.unwrap()
    }

    async fn see(&self, path: &str) -> Reply {
        self.server.get(path, As::Session(&self.guest)).await.unwrap()
    }

    fn of_organization(&self, rest: &str) -> String {
        format!("/organizations/{}/{rest}", self.owner.organization)
    }
}

fn ids(reply: &Reply) -> Vec<&str> {
    reply.json["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap_or_default()).collect()
}

#[tokio::test]
async fn whoever_sees_some_projects_gets_overview_domains_and_deployments_of_those() {
    let town = Town::new().await;
    for service in [&town.shop.2[0], &town.bank.2[0]] {
        tree::deploy(&town.server, &town.owner, service).await;
    }
    town.allow(json!({ "projects": [town.shop.0] })).await.expect(200).unwrap();
    let overview = town.see(&town.of_organization("overview")).await.expect(200).unwrap();
    assert_eq!(
        (&overview.json["projects"], &overview.json["environments"], &overview.json["services"], &overview.json["domains"]),
        (&json!(1), &json!(1), &json!(2), &json!(2)),
        "{}",
        overview.text
    );
    assert_eq!(overview.json["recent_deployments"].as_array().unwrap().len(), 1);
    let domains = town.see(&town.of_organization("domains")).await.expect(200).unwrap();
    assert!(domains.text.contains("web.shop.example.org") && !domains.text.contains("bank"), "{}", domains.text);
    let deployments = town.see(&town.of_organization("deployments")).await.expect(200).unwrap();
    assert_eq!(deployments.json["data"].as_array().unwrap().len(), 1);
    assert_eq!(deployments.json["data"][0]["service"], json!(town.shop.2[0]));
    let everybody = town.server.get(&town.of_organization("domains"), As::Session(&town.owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(everybody.json["data"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn search_finds_what_is_seen_however_much_is_hidden() {
    let town = Town::new().await;
    // More hidden ones than search answers, and all of them before the visible one by name.
    let mut write = town.server.control.store().write().await.unwrap();
    let project: domain::id::ProjectId = town.bank.0.parse().unwrap();
    let now = town.server.control.clock().now();
    for number in 0..60 {
        let row = store::environments::EnvironmentRow {
            id: domain::id::EnvironmentId::new(town.server.clock.as_ref(), &domain::SystemEntropy),
            organization_id: town.owner.organization,
            project_id: project,
            slug: format!("a-{number}-shop"),
            name: format!("A {number} shop"),
            kind: domain::project::EnvironmentKind::Staging,
            is_default: false,
            version: 1,
            created_at: now,
            updated_at: now,
            deleting_at: None,
        };
        store::environments::insert(&mut write, &row).await.unwrap();
    }
    write.commit_without_audit("test").await.unwrap();
    town.allow(json!({ "projects": [town.shop.0] })).await.expect(200).unwrap();
    let found = town.see("/search?q=shop").await.expect(200).unwrap();
    assert!(found.text.contains("Shop worker") && !found.text.contains("A 1 shop"), "{}", found.text);
}

#[tokio::test]
async fn lists_of_environments_and_services_narrow_and_open_the_way_to_them() {
    let town = Town::new().await;
    let (shop, production, services) = &town.shop;
    let made = town.server.post(&format!("/projects/{shop}/environments"), As::Session(&town.owner), json!({ "name": "Staging" })).await;
    let staging = made.unwrap().expect(201).unwrap().text_at("/id").to_owned();
    let given = town.allow(json!({ "services": [services[0]] })).await.expect(200).unwrap();
    assert_eq!((&given.json["environments"], &given.json["projects"]), (&json!([production]), &json!([shop])), "the way is open");
    assert_eq!(ids(&town.see(&town.of_organization("projects")).await.expect(200).unwrap()), [shop]);
    assert_eq!(ids(&town.see(&format!("/projects/{shop}/environments")).await.expect(200).unwrap()), [production]);
    assert_eq!(ids(&town.see(&format!("/environments/{production}/services")).await.expect(200).unwrap()), [&services[0]]);
    assert_eq!(ids(&town.see(&town.of_organization("services")).await.expect(200).unwrap()), [&services[0]]);
    town.see(&format!("/services/{}", services[0])).await.expect(200).unwrap();
    for path in [format!("/services/{}", services[1]), format!("/environments/{staging}"), format!("/projects/{}", town.bank.0)] {
        town.see(&path).await.expect_problem(404, "not-found").unwrap();
    }
    // What concerns the hidden ones too is not theirs.
    for path in [
        format!("/environments/{production}/variables"),
        format!("/projects/{shop}/variables"),
        format!("/environments/{production}/deletion-plan"),
        format!("/projects/{shop}/deletion-plan"),
    ] {
        town.see(&path).await.expect_problem(403, "forbidden").unwrap();
    }
    town.see(&format!("/services/{}/variables", services[0])).await.expect(200).unwrap();
    let path = format!("/environments/{production}/services");
    let refused = town.server.post(&path, As::Session(&town.guest), json!({ "name": "Mine" })).await.unwrap();
    refused.expect_problem(403, "forbidden").unwrap();
    let path = format!("/services/{}/duplicate", services[0]);
    let refused = town.server.post(&path, As::Session(&town.guest), json!({ "name": "Mine" })).await.unwrap();
    refused.expect_problem(404, "not-found").unwrap();
    let found = town.see("/search?q=shop").await.expect(200).unwrap();
    assert!(found.text.contains("Shop web") && !found.text.contains("Shop worker"), "{}", found.text);
    // All again.
    let all = json!({ "projects": null, "environments": null, "services": null });
    town.allow(all).await.expect(200).unwrap();
    assert_eq!(ids(&town.see(&town.of_organization("services")).await.expect(200).unwrap()).len(), 4);
}

#[tokio::test]
async fn only_what_the_organization_has_can_be_allowed() {
    let town = Town::new().await;
    let stranger = town.server.second_person().await.unwrap();
    let (project, environment) = tree::project(&town.server, &stranger, "Foreign").await;
    let service = tree::service(&town.server, &stranger, &environment, "Foreign").await;
    for (lists, pointer) in [
        (json!({ "projects": [project] }), "/projects"),
        (json!({ "environments": [environment] }), "/environments"),
        (json!({ "services": [service] }), "/services"),
    ] {
        let refused = town.allow(lists.clone()).await.expect_problem(422, "invalid").unwrap();
        assert_eq!(refused.text_at("/errors/0/pointer"), pointer);
        let mut invitation = lists;
        invitation["email"] = json!("new@harbor.example");
        let path = town.of_organization("invitations");
        let refused = town.server.post(&path, As::Session(&town.owner), invitation).await.unwrap();
        assert_eq!(refused.expect_problem(422, "invalid").unwrap().text_at("/errors/0/pointer"), pointer);
    }
}

#[tokio::test]
async fn lists_are_sorted_as_asked_page_by_page() {
    let town = Town::new().await;
    let path = town.of_organization("projects");
    let names = async |query: &str| {
        let reply = town.server.get(&format!("{path}?{query}"), As::Session(&town.owner)).await.unwrap().expect(200).unwrap();
        let names: Vec<String> =
            reply.json["data"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
        (names, reply.text_at("/next_cursor").to_owned())
    };
    assert_eq!(names("sort=name").await.0, ["Bank", "Shop"]);
    assert_eq!(names("sort=created_at").await.0, ["Shop", "Bank"]);
    let (first, cursor) = names("sort=name&limit=1").await;
    let (second, _) = names(&format!("sort=name&limit=1&cursor={cursor}")).await;
    assert_eq!((first, second), (vec!["Bank".to_owned()], vec!["Shop".to_owned()]));
    let other = town.server.get(&format!("{path}?sort=created_at&cursor={cursor}"), As::Session(&town.owner)).await.unwrap();
    other.expect_problem(400, "cursor-invalid").unwrap();
    town.server.get(&format!("{path}?sort=color"), As::Session(&town.owner)).await.unwrap().expect_problem(422, "invalid").unwrap();
    let services = town.of_organization("services?sort=name&limit=1");
    let reply = town.server.get(&services, As::Session(&town.owner)).await.unwrap().expect(200).unwrap();
    assert_eq!(reply.text_at("/data/0/name"), "Bank web");
}

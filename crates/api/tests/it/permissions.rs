//! The permission table: every endpoint, as a stranger, as another tenant, in each role, with expired, revoked, narrow and
//! foreign tokens. What is expected stands in `permissions.txt`, written by hand; an endpoint without a line there fails.
//!
//! To add an endpoint: a line `operation  public|account|operator|<lowest role>:<scope>@<kind>`. To let the table walk a kind of
//! resource with real ids: a line in [`World::id_of`].

use std::collections::{BTreeMap, BTreeSet};

use api::endpoint::{Access, Endpoint, Media};
use chrono::TimeDelta;
use control::access::Kind;
use domain::id::{Id, OrganizationId, TokenId};
use domain::permission::{Permission, Role};
use domain::{Clock, SystemEntropy};
use serde_json::json;
use store::memberships::MembershipRow;
use store::organizations::OrganizationRow;
use store::tokens::TokenRow;
use store::{Json, Store};
use testkit::{As, Person, Reply, TestServer};
use vault::token::PersonalToken;

const TABLE: &str = include_str!("permissions.txt");

fn expectations() -> BTreeMap<&'static str, &'static str> {
    let lines = TABLE.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(char::is_whitespace).unwrap()).map(|(name, rest)| (name, rest.trim())).collect()
}

fn word(value: impl serde::Serialize) -> String {
    store::text_of(&value).unwrap()
}

fn declared(endpoint: &Endpoint) -> String {
    match endpoint.access {
        Access::Public => "public".to_owned(),
        Access::SignedIn => "account".to_owned(),
        Access::Operator => "operator".to_owned(),
        Access::Resource { kind, permission, .. } => {
            format!("{}:{}@{}", word(permission.lowest_role()), word(permission), kind.word())
        }
    }
}

#[test]
fn every_endpoint_declares_what_the_table_says() {
    let table = expectations();
    let endpoints = api::v1::endpoints();
    let mut faults = Vec::new();
    for endpoint in &endpoints {
        match table.get(endpoint.operation) {
            None => faults.push(format!(
                "{}  {}   <- no line in permissions.txt: decide, then write it",
                endpoint.operation,
                declared(endpoint)
            )),
            Some(expected) if *expected != declared(endpoint) => {
                faults.push(format!("{} declares {}, the table says {expected}", endpoint.operation, declared(endpoint)));
            }
            Some(_) => {}
        }
    }
    let known: BTreeSet<&str> = endpoints.iter().map(|endpoint| endpoint.operation).collect();
    faults.extend(table.keys().filter(|name| !known.contains(*name)).map(|name| format!("{name} stands in the table and does not exist")));
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// People that are members in every organization of the walk, and some who are not.
struct World {
    server: TestServer,
    people: BTreeMap<Role, Person>,
    stranger: Person,
}

impl World {
    async fn new() -> Self {
        let server = TestServer::new().await.unwrap();
        server.owner().await.unwrap();
        let mut people = BTreeMap::new();
        for role in Role::ALL {
            people.insert(role, server.person(&format!("{}@harbor.example", word(role))).await.unwrap());
        }
        let stranger = server.person("stranger@elsewhere.example").await.unwrap();
        Self { server, people, stranger }
    }

    fn store(&self) -> &Store {
        self.server.control.store()
    }

    /// A new organization with one member of each role, so that what one call destroys is not missed by the next.
    async fn organization(&self) -> OrganizationId {
        let (id, now) = (OrganizationId::new(self.server.clock.as_ref(), &SystemEntropy), self.server.clock.now());
        let mut write = self.store().write().await.unwrap();
        let settings = Json(json!({}));
        let slug = id.to_string().replace('_', "-");
        let row =
            OrganizationRow { id, slug, name: "Walk".into(), settings, version: 1, created_at: now, updated_at: now, deleted_at: None };
        store::organizations::insert(&mut write, &row).await.unwrap();
        for (role, person) in &self.people {
            let row = MembershipRow {
                organization_id: id,
                user_id: person.id,
                role: *role,
                switches: Json::default(),
                projects: None,
                environments: None,
                services: None,
                version: 1,
                created_at: now,
                updated_at: now,
            };
            store::memberships::insert(&mut write, &row).await.unwrap();
        }
        write.commit_without_audit("test").await.unwrap();
        id
    }

    /// A token, straight into the store: lists may be longer and times earlier than the API would take.
    async fn token(
        &self,
        person: &Person,
        scopes: impl IntoIterator<Item = Permission>,
        organization: Option<OrganizationId>,
        life: TimeDelta,
    ) -> String {
        let now = self.server.clock.now();
        let secret = PersonalToken::generate(TokenId::new(self.server.clock.as_ref(), &SystemEntropy), &SystemEntropy);
        let row = TokenRow {
            id: secret.id,
            user_id: person.id,
            name: "walk".into(),
            digest: secret.digest.as_bytes().to_vec(),
            scopes: Json(scopes.into_iter().collect()),
            organization_id: organization,
            project_id: None,
            environment_id: None,
            service_id: None,
            addresses: None,
            rate_requests: None,
            rate_window_seconds: None,
            created_at: now,
            expires_at: now + life,
            last_used_at: None,
            warned_at: None,
        };
        let mut write = self.store().write().await.unwrap();
        store::tokens::insert(&mut write, &row).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        secret.text.reveal().clone()
    }

    /// A real id of the kind in the organization. Kinds without one are walked with an id that does not exist: then only the
    /// refusals are looked at.
    async fn id_of(&self, kind: Kind, organization: OrganizationId) -> Option<String> {
        if kind == Kind::Organization {
            return Some(organization.to_string());
        }
        let tree = crate::tree::plant(self.store(), self.server.clock.as_ref(), organization).await;
        match kind {
            Kind::Project => Some(tree.project.to_string()),
            Kind::Environment => Some(tree.environment.to_string()),
            Kind::Service => Some(tree.service.to_string()),
            Kind::Volume => Some(tree.volume.to_string()),
            Kind::Credential => Some(tree.credential.to_string()),
            Kind::Upload => Some(tree.upload.to_string()),
            _ => None,
        }
    }

    /// Sends a request that never gets as far as a change where a body could stop it: its type is wrong.
    async fn send(&self, endpoint: &Endpoint, path: &str, who: As<'_>) -> Reply {
        // A stream does not end: asking for one wrongly does.
        let path = if endpoint.media == Media::Json { path.to_owned() } else { format!("{path}?follow=maybe") };
        let mut request = self.server.request(endpoint.method.as_str().parse().unwrap(), &path, who);
        if !matches!(endpoint.method.as_str(), "GET" | "DELETE") {
            request = request.header("content-type", "text/plain").body("x");
        }
        self.server.send(request).await.unwrap()
    }
}

/// The path with an id for the declared parameter and ids that do not exist for the others.
fn path_of(endpoint: &Endpoint, parameter: Option<(&str, &str)>) -> String {
    let mut path = endpoint.path.to_owned();
    for name in endpoint.path_parameters() {
        let text = match parameter {
            Some((known, id)) if known == name => id.to_owned(),
            _ => missing(name),
        };
        path = path.replace(&format!("{{{name}}}"), &text);
    }
    path
}

fn missing(name: &str) -> String {
    let prefix = match name {
        "organization" => "org",
        "project" => "prj",
        "environment" => "env",
        "service" => "svc",
        "deployment" => "dep",
        "release" => "rel",
        "user" => "usr",
        "session" => "ses",
        "token" => "pat",
        "invitation" => "inv",
        other => other,
    };
    let id = OrganizationId::from_uuid(uuid::Uuid::from_u128(7)).to_string();
    id.replacen("org", prefix, 1)
}

/// What the gate refuses by status and code; everything else came from the use case.
fn refusal(reply: &Reply) -> Option<(u16, String)> {
    let code = reply.text_at("/code").to_owned();
    matches!(code.as_str(), "unauthenticated" | "forbidden" | "scope-missing" | "csrf-rejected" | "email-unverified" | "step-up-required")
        .then_some((reply.status, code))
}

fn must_be(reply: &Reply, status: u16, code: &str, as_whom: &str, endpoint: &Endpoint) {
    assert_eq!((reply.status, reply.text_at("/code")), (status, code), "{} as {as_whom}: {}", endpoint.operation, reply.text);
}

#[tokio::test]
async fn nobody_and_dead_tokens_get_nowhere() {
    let world = World::new().await;
    let owner = &world.people[&Role::Owner];
    let expired = world.token(owner, Permission::ALL, None, TimeDelta::zero()).await;
    let revoked = world.token(owner, Permission::ALL, None, TimeDelta::days(1)).await;
    world.server.get("/me", As::Token(&revoked)).await.unwrap().expect(200).unwrap();
    let id = PersonalToken::parse(&revoked).unwrap().id;
    world.server.delete(&format!("/me/tokens/{id}"), As::Session(owner)).await.unwrap().expect(204).unwrap();
    let unknown = PersonalToken::generate(TokenId::new(world.server.clock.as_ref(), &SystemEntropy), &SystemEntropy);
    for endpoint in api::v1::endpoints() {
        let path = path_of(&endpoint, None);
        for (token, name) in
            [(expired.as_str(), "expired token"), (revoked.as_str(), "revoked token"), (unknown.text.reveal(), "unknown token")]
        {
            must_be(&world.send(&endpoint, &path, As::Token(token)).await, 401, "unauthenticated", name, &endpoint);
        }
        let reply = world.send(&endpoint, &path, As::Nobody).await;
        match endpoint.access {
            Access::Public => assert_eq!(refusal(&reply), None, "{} is public: {}", endpoint.operation, reply.text),
            _ => must_be(&reply, 401, "unauthenticated", "nobody", &endpoint),
        }
    }
}

#[tokio::test]
async fn only_operators_reach_the_instance() {
    let world = World::new().await;
    for endpoint in api::v1::endpoints().iter().filter(|endpoint| endpoint.access == Access::Operator) {
        let path = path_of(endpoint, None);
        for person in world.people.values().chain([&world.stranger]) {
            must_be(&world.send(endpoint, &path, As::Session(person)).await, 404, "not-found", "no operator", endpoint);
        }
    }
}

#[tokio::test]
async fn every_resource_endpoint_holds_for_every_role_tenant_and_token() {
    let world = World::new().await;
    let elsewhere = world.organization().await;
    let mut walked = BTreeSet::new();
    for endpoint in api::v1::endpoints() {
        let Access::Resource { kind, parameter, permission } = endpoint.access else { continue };
        let organization = world.organization().await;
        let real = world.id_of(kind, organization).await;
        let id = real.clone().unwrap_or_else(|| missing(kind.word()));
        let path = path_of(&endpoint, Some((parameter, &id)));
        // Another tenant: as if it did not exist, whatever the token says.
        let foreign = world.token(&world.stranger, Permission::ALL, None, TimeDelta::days(1)).await;
        must_be(&world.send(&endpoint, &path, As::Session(&world.stranger)).await, 404, "not-found", "another tenant", &endpoint);
        must_be(&world.send(&endpoint, &path, As::Token(&foreign)).await, 404, "not-found", "another tenant's token", &endpoint);
        let owner = &world.people[&Role::Owner];
        let confined = world.token(owner, Permission::ALL, Some(elsewhere), TimeDelta::days(1)).await;
        must_be(&world.send(&endpoint, &path, As::Token(&confined)).await, 404, "not-found", "a token of another organization", &endpoint);
        if real.is_none() {
            continue;
        }
        walked.insert(kind.word());
        // The right token but for the one scope.
        let others = Permission::ALL.into_iter().filter(|other| *other != permission);
        let narrow = world.token(owner, others, None, TimeDelta::days(1)).await;
        must_be(&world.send(&endpoint, &path, As::Token(&narrow)).await, 403, "scope-missing", "a token without the scope", &endpoint);
        for (role, person) in &world.people {
            // Each in an organization of its own: an allowed call may delete it.
            let organization = world.organization().await;
            let Some(id) = world.id_of(kind, organization).await else { continue };
            let path = path_of(&endpoint, Some((parameter, &id)));
            let all = world.token(person, Permission::ALL, None, TimeDelta::days(1)).await;
            let by_token = world.send(&endpoint, &path, As::Token(&all)).await;
            let by_session = world.send(&endpoint, &path, As::Session(person)).await;
            if role.allows(permission) {
                assert_eq!(refusal(&by_session), None, "{} as {role:?}: {}", endpoint.operation, by_session.text);
                let absent = format!("There is no such {},", kind.word());
                assert!(
                    by_session.status != 404 || by_token.status < 300 || !by_session.text_at("/detail").starts_with(&absent),
                    "{} as {role:?}: {}",
                    endpoint.operation,
                    by_session.text
                );
            } else {
                must_be(&by_token, 403, "forbidden", &format!("{role:?} by token"), &endpoint);
                must_be(&by_session, 403, "forbidden", &format!("{role:?}"), &endpoint);
            }
        }
    }
    for kind in ["organization", "project", "environment", "service", "volume", "credential", "upload"] {
        assert!(walked.contains(kind), "{walked:?}");
    }
}

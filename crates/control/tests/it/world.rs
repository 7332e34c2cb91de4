//! An organization with one service, a control plane of its own and a scripted server side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use contract::deployments::{CreateDeployment, CreateRollback, Deployment, Scale};
use control::access::{Actor, Located, Origin, Principal, Via};
use control::deployments::{Faults, NoFaults};
use control::{Control, ControlConfig, ControlParts};
use domain::id::{
    DeploymentId, DomainId, EnvironmentId, Id, OrganizationId, ProjectId, RequestId, RunId, ServiceId, SessionId, UserId, VariableId,
};
use domain::permission::Role;
use domain::project::EnvironmentKind;
use domain::service::{Configuration, ServiceKind, Source};
use domain::variables::VariableKind;
use domain::{Clock, FixedClock, SystemEntropy};
use store::audit::ActorKind;
use store::releases::ReleaseRow;
use store::services::ServiceRow;
use store::{Json, Page, Store};
use testkit::databases::TestStore;
use testkit::mailbox::Mailbox;
use testkit::scripted::ScriptedServer;
use vault::{KeyRing, MasterKey, MasterRing};

/// Everything polls towards this deadline; nothing waits for it when all is well.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

pub struct World {
    pub control: Control,
    pub store: Store,
    pub clock: Arc<FixedClock>,
    pub server: Arc<ScriptedServer>,
    pub mailbox: Arc<Mailbox>,
    pub parts: Arc<jobs::Parts>,
    pub organization: OrganizationId,
    pub user: UserId,
    pub project: ProjectId,
    pub environment: EnvironmentId,
    pub service: ServiceId,
    master: String,
    folder: Arc<tempfile::TempDir>,
}

impl World {
    pub async fn new(store: &TestStore) -> Self {
        Self::with(store, Arc::new(NoFaults)).await
    }

    pub async fn with(store: &TestStore, faults: Arc<dyn Faults>) -> Self {
        let clock = Arc::new(FixedClock::default());
        let at = clock.now();
        let organization = OrganizationId::new(&*clock, &SystemEntropy);
        let user = UserId::new(&*clock, &SystemEntropy);
        let project = ProjectId::new(&*clock, &SystemEntropy);
        let environment = EnvironmentId::new(&*clock, &SystemEntropy);
        let service = ServiceId::new(&*clock, &SystemEntropy);
        let mut write = store.write().await.unwrap();
        let row = store::organizations::OrganizationRow {
            id: organization,
            slug: organization.to_string(),
            name: "Lighthouse".into(),
            settings: Json(serde_json::json!({})),
            version: 1,
            created_at: at,
            updated_at: at,
            deleted_at: None,
        };
        store::organizations::insert(&mut write, &row).await.unwrap();
        let row = store::users::UserRow {
            id: user,
            email: "ada@lighthouse.example".into(),
            email_key: "ada@lighthouse.example".into(),
            name: "Ada".into(),
            password_hash: None,
            email_verified_at: Some(at),
            operator: false,
            settings: Json(serde_json::json!({})),
            version: 1,
            password_changed_at: None,
            created_at: at,
            updated_at: at,
            deleted_at: None,
        };
        store::users::insert(&mut write, &row).await.unwrap();
        let row = store::memberships::MembershipRow {
            organization_id: organization,
            user_id: user,
            role: Role::Owner,
            switches: Json(BTreeMap::new()),
            projects: None,
            environments: None,
            services: None,
            version: 1,
            created_at: at,
            updated_at: at,
        };
        store::memberships::insert(&mut write, &row).await.unwrap();
        let row = store::projects::ProjectRow {
            id: project,
            organization_id: organization,
            slug: "shop".into(),
            name: "Shop".into(),
            description: String::new(),
            icon: None,
            version: 1,
            created_at: at,
            updated_at: at,
            deleting_at: None,
        };
        store::projects::insert(&mut write, &row).await.unwrap();
        let row = store::environments::EnvironmentRow {
            id: environment,
            organization_id: organization,
            project_id: project,
            slug: "production".into(),
            name: "Production".into(),
            kind: EnvironmentKind::Production,
            is_default: true,
            version: 1,
            created_at: at,
            updated_at: at,
            deleting_at: None,
        };
        store::environments::insert(&mut write, &row).await.unwrap();
        let source =
            Source::Git { url: "https://git.example/shop".into(), reference: None, credential: None, submodules: false, lfs: false };
        let row = ServiceRow {
            id: service,
            organization_id: organization,
            project_id: project,
            environment_id: environment,
            slug: "web".into(),
            kind: ServiceKind::App,
            name: "web".into(),
            description: String::new(),
            icon: None,
            app_name: "web-shop".into(),
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
        store::services::insert(&mut write, &row).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        let master = MasterKey::generate(&SystemEntropy).to_text().reveal().clone();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let seed = Seed { store: Store::clone(store), clock, server: Arc::default(), master, folder };
        seed.grow(faults, (organization, user, project, environment, service))
    }

    /// Another process over the same database, server and master key.
    pub fn reborn(&self) -> Self {
        let seed = Seed {
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            server: Arc::clone(&self.server),
            master: self.master.clone(),
            folder: Arc::clone(&self.folder),
        };
        seed.grow(Arc::new(NoFaults), (self.organization, self.user, self.project, self.environment, self.service))
    }

    /// Each request is a moment after the one before.
    pub fn tick(&self) -> DateTime<Utc> {
        self.clock.advance(TimeDelta::milliseconds(10));
        self.clock.now()
    }

    /// The owner, at the service.
    pub fn actor(&self) -> Actor {
        self.tick();
        Actor {
            principal: Principal {
                user: self.user,
                email: "ada@lighthouse.example".into(),
                name: "Ada".into(),
                email_verified: true,
                via: Via::Session { id: SessionId::new(&*self.clock, &SystemEntropy), fresh_for_step_up: true, csrf: String::new() },
                operator: false,
            },
            origin: Origin { request: RequestId::new(&*self.clock, &SystemEntropy), address: None, delivery: None },
            organization: self.organization,
            role: Role::Owner,
            switches: BTreeMap::new(),
            sight: store::Sight::default(),
            located: Located {
                organization: self.organization,
                project: Some(self.project),
                environment: Some(self.environment),
                service: Some(self.service),
                id: self.service.uuid(),
            },
        }
    }

    /// The owner, at something of the service.
    pub fn actor_at(&self, id: uuid::Uuid) -> Actor {
        let mut actor = self.actor();
        actor.located.id = id;
        actor
    }

    pub async fn ask(&self) -> Deployment {
        self.control.create_deployment(&self.actor(), CreateDeployment::default()).await.unwrap()
    }

    /// Deploys to the end.
    pub async fn deploy(&self) -> Deployment {
        let asked = self.ask().await;
        self.work().await;
        self.deployment(asked.id).await
    }

    pub async fn rollback(&self, version: u64) -> control::Result<Deployment> {
        self.control.create_rollback(&self.actor(), CreateRollback { version: Some(version), force: false }).await
    }

    pub async fn scale(&self, replicas: u32) -> control::Result<Deployment> {
        self.control.scale_service(&self.actor(), Scale { processes: BTreeMap::from([("web".to_owned(), replicas)]) }).await
    }

    pub async fn cancel(&self, id: DeploymentId) -> control::Result<Deployment> {
        self.control.cancel_deployment(&self.actor_at(id.uuid())).await
    }

    pub async fn deployment(&self, id: DeploymentId) -> Deployment {
        self.control.read_deployment(&self.actor_at(id.uuid()), None).await.unwrap()
    }

    /// Every deployment of the service, oldest first.
    pub async fn deployments(&self) -> Vec<store::deployments::DeploymentRow> {
        let mut read = self.store.read().await.unwrap();
        let page = Page { limit: store::PAGE_LIMIT_MAX, after: None };
        let mut rows = store::deployments::list_of_service(&mut read, self.organization, self.service, &page).await.unwrap().rows;
        rows.reverse();
        rows
    }

    pub async fn releases(&self) -> Vec<ReleaseRow> {
        let mut read = self.store.read().await.unwrap();
        let page = Page { limit: store::PAGE_LIMIT_MAX, after: None };
        let mut rows = store::releases::list(&mut read, self.organization, self.service, &page).await.unwrap().rows;
        rows.sort_by_key(|row| row.version);
        rows
    }

    pub async fn service_row(&self) -> ServiceRow {
        store::services::find(&mut self.store.read().await.unwrap(), self.organization, self.service).await.unwrap().unwrap()
    }

    /// The version that the control plane believes to serve.
    pub async fn current(&self) -> Option<i64> {
        let id = self.service_row().await.current_release_id?;
        Some(store::releases::find_any(&mut self.store.read().await.unwrap(), id).await.unwrap().unwrap().version)
    }

    pub async fn configure(&self, change: impl FnOnce(&mut Configuration)) {
        let mut write = self.store.write().await.unwrap();
        let mut row = store::services::get_locked(&mut write, self.organization, self.service).await.unwrap();
        change(&mut row.configuration.0);
        store::services::update(&mut write, &row, true).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
    }

    /// A plain variable of the service.
    pub async fn variable(&self, name: &str, value: &str) {
        let at = self.tick();
        let scope = (store::variables::ScopeKind::Service, self.service.uuid());
        let mut write = self.store.write().await.unwrap();
        store::variables::delete(&mut write, self.organization, scope.0, scope.1, name).await.unwrap();
        let row = store::variables::VariableRow {
            id: VariableId::new(&*self.clock, &SystemEntropy),
            organization_id: self.organization,
            scope_kind: scope.0,
            scope_id: scope.1,
            name: name.into(),
            kind: VariableKind::Plain,
            version: 1,
            refers_to: Json(Vec::new()),
            created_at: at,
            updated_at: at,
        };
        store::variables::insert(&mut write, &row).await.unwrap();
        let version = store::variables::VersionRow {
            id: domain::id::uuid_v7(&*self.clock, &SystemEntropy),
            organization_id: self.organization,
            variable_id: row.id,
            version: 1,
            kind: VariableKind::Plain,
            plain_value: Some(value.into()),
            sealed_value: None,
            size_bytes: 1,
            author_kind: ActorKind::System,
            author_id: None,
            created_at: at,
        };
        store::variables::insert_version(&mut write, &version).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
    }

    pub async fn domain(&self, host: &str) -> DomainId {
        let at = self.tick();
        let id = DomainId::new(&*self.clock, &SystemEntropy);
        let row = store::domains::DomainRow {
            id,
            organization_id: self.organization,
            service_id: self.service,
            host: host.into(),
            is_primary: false,
            created_at: at,
        };
        let mut write = self.store.write().await.unwrap();
        store::domains::insert(&mut write, &row).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        id
    }

    pub async fn enqueue(&self, job: store::jobs::NewJob) {
        self.tick();
        let mut write = self.store.write().await.unwrap();
        store::jobs::enqueue(&mut write, &*self.clock, &SystemEntropy, job).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
    }

    /// Does everything that is due, also what waits for another attempt.
    pub async fn work(&self) {
        for _ in 0..8 {
            jobs::run_due(&self.parts).await.unwrap();
            self.clock.advance(TimeDelta::minutes(6));
        }
    }

    /// A runner as the product runs it; drop it to kill it.
    pub fn runner(&self) -> jobs::Runner {
        jobs::Runner::start(jobs::Parts {
            store: self.store.clone(),
            handlers: control::background::handlers(&self.control),
            clock: self.clock.clone(),
            entropy: Arc::new(SystemEntropy),
            limits: limits(),
            owner: "runner".into(),
        })
    }

    /// Puts back what dead workers held.
    pub async fn reclaim(&self) {
        self.clock.advance(TimeDelta::minutes(1));
        let now = self.clock.now();
        let mut write = self.store.write().await.unwrap();
        store::jobs::reclaim_expired(&mut write, now).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
    }

    pub async fn run_row(&self, id: RunId) -> store::runs::RunRow {
        store::runs::find_any(&mut self.store.read().await.unwrap(), id).await.unwrap().unwrap()
    }

    /// Steps of a deployment without an outcome.
    pub async fn unfinished_steps(&self, id: DeploymentId) -> BTreeSet<domain::deployment::Step> {
        let rows = store::deployments::list_steps(&mut self.store.read().await.unwrap(), id).await.unwrap();
        rows.into_iter().filter(|row| row.outcome_at.is_none()).map(|row| row.step).collect()
    }
}

/// Waits until it is so, for a limited time.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn limits() -> jobs::Limits {
    jobs::Limits { poll: std::time::Duration::from_millis(20), ..jobs::Limits::default() }
}

struct Seed {
    store: Store,
    clock: Arc<FixedClock>,
    server: Arc<ScriptedServer>,
    master: String,
    folder: Arc<tempfile::TempDir>,
}

impl Seed {
    fn grow(self, faults: Arc<dyn Faults>, ids: (OrganizationId, UserId, ProjectId, EnvironmentId, ServiceId)) -> World {
        let mailbox = Arc::new(Mailbox::default());
        let control = Control::new(ControlParts {
            store: self.store.clone(),
            ring: Arc::new(KeyRing::new(Arc::new(SystemEntropy))),
            masters: MasterRing::new(MasterKey::from_text(&self.master).unwrap(), Vec::new()),
            clock: self.clock.clone(),
            entropy: Arc::new(SystemEntropy),
            server: self.server.clone(),
            mail: mailbox.clone(),
            config: ControlConfig {
                base_url: "http://localhost:8080".into(),
                base_domain: "apps.localhost".into(),
                ingress_public_port: 8081,
                ingress_https: false,
                data_dir: self.folder.path().to_owned(),
                mail_from: "Seaway <seaway@lighthouse.example>".into(),
                bind_allowed: Vec::new(),
                git_over_http: false,
                builds_at_once: 2,
                features_off: Default::default(),
                audit_syslog: None,
            },
            faults,
        });
        let parts = Arc::new(jobs::Parts {
            store: self.store.clone(),
            handlers: control::background::handlers(&control),
            clock: self.clock.clone(),
            entropy: Arc::new(SystemEntropy),
            limits: limits(),
            owner: "worker".into(),
        });
        let (organization, user, project, environment, service) = ids;
        World {
            control,
            store: self.store,
            clock: self.clock,
            server: self.server,
            mailbox,
            parts,
            organization,
            user,
            project,
            environment,
            service,
            master: self.master,
            folder: self.folder,
        }
    }
}

//! Projects, environments, services and what belongs to them.

use chrono::{DateTime, TimeDelta, Utc};
use domain::credential::CredentialKind;
use domain::id::{
    CredentialId, DomainId, EnvironmentId, Id, OrganizationId, ProjectId, ReleaseId, ServiceId, TagId, UploadId, VariableId, VolumeId,
};
use domain::project::EnvironmentKind;
use domain::service::{Configuration, ServiceKind};
use domain::variables::VariableKind;
use domain::{FixedClock, SeededEntropy};
use store::audit::ActorKind;
use store::variables::ScopeKind;
use store::{Json, Page, StoreError, Write};
use testkit::databases::{TestStore, on_both};

/// Ids and times of a test.
struct Maker {
    clock: FixedClock,
    entropy: SeededEntropy,
}

impl Maker {
    fn new() -> Self {
        Self { clock: FixedClock::default(), entropy: SeededEntropy::new(3) }
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.advance(TimeDelta::seconds(1));
        domain::Clock::now(&self.clock)
    }

    async fn organization(&self, write: &mut Write, slug: &str) -> OrganizationId {
        let at = self.now();
        let row = store::organizations::OrganizationRow {
            id: OrganizationId::new(&self.clock, &self.entropy),
            slug: slug.into(),
            name: slug.into(),
            settings: Json(serde_json::json!({})),
            version: 1,
            created_at: at,
            updated_at: at,
            deleted_at: None,
        };
        store::organizations::insert(write, &row).await.unwrap();
        row.id
    }

    fn project(&self, organization: OrganizationId, slug: &str) -> store::projects::ProjectRow {
        let at = self.now();
        store::projects::ProjectRow {
            id: ProjectId::new(&self.clock, &self.entropy),
            organization_id: organization,
            slug: slug.into(),
            name: format!("Project {slug}"),
            description: String::new(),
            icon: None,
            version: 1,
            created_at: at,
            updated_at: at,
            deleting_at: None,
        }
    }

    fn environment(&self, project: &store::projects::ProjectRow, slug: &str) -> store::environments::EnvironmentRow {
        let at = self.now();
        store::environments::EnvironmentRow {
            id: EnvironmentId::new(&self.clock, &self.entropy),
            organization_id: project.organization_id,
            project_id: project.id,
            slug: slug.into(),
            name: slug.into(),
            kind: EnvironmentKind::Production,
            is_default: slug == "production",
            version: 1,
            created_at: at,
            updated_at: at,
            deleting_at: None,
        }
    }

    fn service(&self, environment: &store::environments::EnvironmentRow, slug: &str, app_name: &str) -> store::services::ServiceRow {
        let at = self.now();
        store::services::ServiceRow {
            id: ServiceId::new(&self.clock, &self.entropy),
            organization_id: environment.organization_id,
            project_id: environment.project_id,
            environment_id: environment.id,
            slug: slug.into(),
            kind: ServiceKind::App,
            name: slug.into(),
            description: String::new(),
            icon: Some("rocket".into()),
            app_name: app_name.into(),
            configuration: Json(Configuration::default()),
            version: 1,
            revision: 1,
            released_revision: None,
            current_release_id: None,
            stopped: false,
            fence: 0,
            created_at: at,
            updated_at: at,
            deleting_at: None,
        }
    }
}

struct Tree {
    organization: OrganizationId,
    project: store::projects::ProjectRow,
    environment: store::environments::EnvironmentRow,
    service: store::services::ServiceRow,
}

async fn tree(maker: &Maker, write: &mut Write, name: &str) -> Tree {
    let organization = maker.organization(write, name).await;
    let project = maker.project(organization, "shop");
    store::projects::insert(write, &project).await.unwrap();
    let environment = maker.environment(&project, "production");
    store::environments::insert(write, &environment).await.unwrap();
    let service = maker.service(&environment, "web", &format!("web-{name}"));
    store::services::insert(write, &service).await.unwrap();
    Tree { organization, project, environment, service }
}

async fn saved(store: &TestStore, maker: &Maker, name: &str) -> Tree {
    let mut write = store.write().await.unwrap();
    let tree = tree(maker, &mut write, name).await;
    write.commit_without_audit("test").await.unwrap();
    tree
}

#[tokio::test]
async fn projects_and_environments() {
    on_both(async |store| {
        let maker = Maker::new();
        let one = saved(store, &maker, "one").await;
        let two = saved(store, &maker, "two").await;
        let mut write = store.write().await.unwrap();
        let doubled = maker.project(one.organization, "shop");
        assert!(store::projects::insert(&mut write, &doubled).await.unwrap_err().is_conflict_of("projects_slug"));
        drop(write);
        let mut write = store.write().await.unwrap();
        let doubled = maker.environment(&one.project, "production");
        let error = store::environments::insert(&mut write, &doubled).await.unwrap_err();
        assert!(error.is_conflict_of("environments_slug") || error.is_conflict_of("environments_default"), "{error:?}");
        // A row of one organization never hangs below one of another.
        drop(write);
        let mut write = store.write().await.unwrap();
        let mut stray = maker.environment(&one.project, "stray");
        stray.organization_id = two.organization;
        assert!(matches!(store::environments::insert(&mut write, &stray).await, Err(StoreError::Reference)));

        drop(write);
        let mut read = store.read().await.unwrap();
        assert!(store::projects::find(&mut read, two.organization, one.project.id).await.unwrap().is_none());
        assert_eq!(store::projects::find_any(&mut read, one.project.id).await.unwrap().unwrap().organization_id, one.organization);
        assert_eq!(store::projects::find_by_slug(&mut read, one.organization, "shop").await.unwrap().unwrap().id, one.project.id);
        assert_eq!(store::projects::list(&mut read, one.organization, &Default::default(), &Page::default()).await.unwrap().rows.len(), 1);
        assert_eq!(store::projects::count(&mut read, one.organization, &Default::default()).await.unwrap(), 1);
        assert!(store::environments::find(&mut read, two.organization, one.environment.id).await.unwrap().is_none());
        assert!(store::environments::find_any(&mut read, one.environment.id).await.unwrap().is_some());
        assert!(store::environments::find_by_slug(&mut read, one.organization, one.project.id, "production").await.unwrap().is_some());
        assert_eq!(store::environments::all_of_project(&mut read, one.organization, one.project.id).await.unwrap().len(), 1);
        assert_eq!(
            store::environments::list(
                &mut read,
                two.organization,
                one.project.id,
                &Default::default(),
                Default::default(),
                &Page::default()
            )
            .await
            .unwrap()
            .rows
            .len(),
            0
        );
        assert_eq!(store::environments::count(&mut read, one.organization, &Default::default()).await.unwrap(), 1);
        drop(read);

        let mut write = store.write().await.unwrap();
        let mut project = one.project.clone();
        project.name = "Renamed".into();
        store::projects::update(&mut write, &project).await.unwrap();
        let mut environment = one.environment.clone();
        environment.kind = EnvironmentKind::Staging;
        store::environments::update(&mut write, &environment).await.unwrap();
        store::environments::mark_deleting(&mut write, one.organization, environment.id, maker.now()).await.unwrap();
        store::projects::mark_deleting(&mut write, one.organization, project.id, maker.now()).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        let mut write = store.write().await.unwrap();
        assert!(matches!(store::projects::update(&mut write, &project).await, Err(StoreError::Stale { .. })));
        drop(write);
        let mut write = store.write().await.unwrap();
        assert!(matches!(
            store::projects::mark_deleting(&mut write, two.organization, project.id, maker.now()).await,
            Err(StoreError::NotFound { .. })
        ));
        drop(write);
        let mut read = store.read().await.unwrap();
        let found = store::projects::find(&mut read, one.organization, project.id).await.unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.version, found.deleting_at.is_some()), ("Renamed", 2, true));
        let found = store::environments::find(&mut read, one.organization, environment.id).await.unwrap().unwrap();
        assert_eq!((found.kind, found.version, found.deleting_at.is_some()), (EnvironmentKind::Staging, 2, true));
    })
    .await;
}

#[tokio::test]
async fn services_know_whether_they_changed_since_their_release() {
    on_both(async |store| {
        let maker = Maker::new();
        let one = saved(store, &maker, "one").await;
        let two = saved(store, &maker, "two").await;
        let (organization, id) = (one.organization, one.service.id);
        let mut write = store.write().await.unwrap();
        let taken = maker.service(&two.environment, "other", "web-one");
        assert!(store::services::insert(&mut write, &taken).await.unwrap_err().is_conflict_of("services_app_name"));
        drop(write);
        let mut write = store.write().await.unwrap();
        let doubled = maker.service(&one.environment, "web", "another");
        assert!(store::services::insert(&mut write, &doubled).await.unwrap_err().is_conflict_of("services_slug"));

        drop(write);
        let mut write = store.write().await.unwrap();
        let release = ReleaseId::new(&maker.clock, &maker.entropy);
        assert!(one.service.draft());
        store::services::set_released(&mut write, organization, id, release, 1).await.unwrap();
        let row = store::services::get_locked(&mut write, organization, id).await.unwrap();
        assert!(!row.draft());
        assert_eq!(row.current_release_id, Some(release));
        assert_eq!(store::services::touch(&mut write, organization, store::services::Reach::Project(one.project.id)).await.unwrap(), 1);
        assert_eq!(store::services::touch(&mut write, two.organization, store::services::Reach::Service(id)).await.unwrap(), 0);
        assert_eq!(
            store::services::touch(&mut write, organization, store::services::Reach::Environment(one.environment.id)).await.unwrap(),
            1
        );
        let mut row = store::services::get_locked(&mut write, organization, id).await.unwrap();
        assert!(row.draft());
        row.configuration.0.port = Some(8080);
        store::services::update(&mut write, &row, true).await.unwrap();
        let row = store::services::get_locked(&mut write, organization, id).await.unwrap();
        assert_eq!((row.version, row.revision, row.configuration.0.port), (2, 4, Some(8080)));
        store::services::set_unchanged(&mut write, organization, id).await.unwrap();
        store::services::set_stopped(&mut write, organization, id, true).await.unwrap();
        assert_eq!(store::services::next_fence(&mut write, organization, id).await.unwrap(), 1);
        assert_eq!(store::services::next_fence(&mut write, organization, id).await.unwrap(), 2);
        let row = store::services::get_locked(&mut write, organization, id).await.unwrap();
        assert!(!row.draft() && row.stopped);
        write.commit_without_audit("test").await.unwrap();

        let mut write = store.write().await.unwrap();
        assert!(matches!(store::services::update(&mut write, &one.service, false).await, Err(StoreError::Stale { .. })));
        drop(write);
        let mut write = store.write().await.unwrap();
        let wrong = store::services::set_parent(&mut write, organization, id, two.project.id, one.environment.id).await;
        assert!(matches!(wrong, Err(StoreError::Reference)), "{wrong:?}");
        drop(write);
        let mut write = store.write().await.unwrap();
        let staging = maker.environment(&one.project, "staging");
        store::environments::insert(&mut write, &staging).await.unwrap();
        store::services::set_parent(&mut write, organization, id, one.project.id, staging.id).await.unwrap();
        store::services::mark_deleting(&mut write, organization, id, maker.now()).await.unwrap();
        write.commit_without_audit("test").await.unwrap();

        let mut read = store.read().await.unwrap();
        let row = store::services::find(&mut read, organization, id).await.unwrap().unwrap();
        assert_eq!((row.environment_id, row.app_name.as_str()), (staging.id, "web-one"));
        assert!(store::services::find(&mut read, two.organization, id).await.unwrap().is_none());
        assert!(store::services::find_any(&mut read, id).await.unwrap().is_some());
        assert!(store::services::find_by_slug(&mut read, organization, staging.id, "web").await.unwrap().is_some());
        assert!(store::services::app_name_taken(&mut read, "web-one").await.unwrap());
        assert_eq!(store::services::all_of_environment(&mut read, organization, staging.id).await.unwrap().len(), 1);
        assert_eq!(store::services::count_in_environment(&mut read, organization, staging.id).await.unwrap(), 1);
        assert_eq!(store::services::all_of_project(&mut read, organization, one.project.id).await.unwrap().len(), 1);
        assert_eq!(store::services::all_of_organization(&mut read, organization).await.unwrap().len(), 1);
        assert_eq!(
            store::services::count(&mut read, organization, &Default::default()).await.unwrap(),
            0,
            "those being deleted do not count"
        );
        assert_eq!(store::services::all(&mut read).await.unwrap().len(), 2);
        let filter = store::services::ServiceFilter { environment: Some(staging.id), ..Default::default() };
        assert_eq!(store::services::list(&mut read, organization, &filter, &Page::default()).await.unwrap().rows.len(), 1);
    })
    .await;
}

fn variable(maker: &Maker, tree: &Tree, name: &str) -> store::variables::VariableRow {
    let at = maker.now();
    store::variables::VariableRow {
        id: VariableId::new(&maker.clock, &maker.entropy),
        organization_id: tree.organization,
        scope_kind: ScopeKind::Service,
        scope_id: tree.service.id.uuid(),
        name: name.into(),
        kind: VariableKind::Plain,
        version: 1,
        refers_to: Json(vec![]),
        created_at: at,
        updated_at: at,
    }
}

fn version(maker: &Maker, of: &store::variables::VariableRow, number: i64, plain: Option<&str>) -> store::variables::VersionRow {
    store::variables::VersionRow {
        id: domain::id::uuid_v7(&maker.clock, &maker.entropy),
        organization_id: of.organization_id,
        variable_id: of.id,
        version: number,
        kind: if plain.is_some() { VariableKind::Plain } else { VariableKind::Secret },
        plain_value: plain.map(str::to_owned),
        sealed_value: plain.is_none().then(|| vec![1, 2, 3]),
        size_bytes: 3,
        author_kind: ActorKind::User,
        author_id: Some("usr_x".into()),
        created_at: maker.now(),
    }
}

#[tokio::test]
async fn variables_have_versions() {
    on_both(async |store| {
        let maker = Maker::new();
        let one = saved(store, &maker, "one").await;
        let two = saved(store, &maker, "two").await;
        let (organization, scope) = (one.organization, one.service.id.uuid());
        let mut write = store.write().await.unwrap();
        let row = variable(&maker, &one, "A");
        store::variables::insert(&mut write, &row).await.unwrap();
        store::variables::insert_version(&mut write, &version(&maker, &row, 1, Some("one"))).await.unwrap();
        let empty = store::variables::set_version(&mut write, two.organization, ScopeKind::Service, scope).await.unwrap();
        let first = store::variables::set_version(&mut write, organization, ScopeKind::Service, scope).await.unwrap();
        assert_ne!(empty, first);
        for number in 2..=store::variables::VERSIONS_KEPT + 2 {
            store::variables::insert_version(&mut write, &version(&maker, &row, number, None)).await.unwrap();
            store::variables::set_current(&mut write, organization, row.id, number, VariableKind::Secret, vec!["db".into()], maker.now())
                .await
                .unwrap();
        }
        assert_ne!(store::variables::set_version(&mut write, organization, ScopeKind::Service, scope).await.unwrap(), first);
        write.commit_without_audit("test").await.unwrap();

        let mut write = store.write().await.unwrap();
        assert!(store::variables::insert(&mut write, &variable(&maker, &one, "A")).await.unwrap_err().is_conflict_of("variables_name"));
        drop(write);
        let mut write = store.write().await.unwrap();
        let mut both = version(&maker, &row, 99, Some("x"));
        both.sealed_value = Some(vec![1]);
        assert!(matches!(store::variables::insert_version(&mut write, &both).await, Err(StoreError::Refused { .. })));
        drop(write);
        let mut write = store.write().await.unwrap();
        let mut stray = version(&maker, &row, 99, None);
        stray.organization_id = two.organization;
        assert!(matches!(store::variables::insert_version(&mut write, &stray).await, Err(StoreError::Reference)));

        drop(write);
        let mut read = store.read().await.unwrap();
        let found = store::variables::find(&mut read, organization, ScopeKind::Service, scope, "A").await.unwrap().unwrap();
        assert_eq!(
            (found.version, found.kind, found.plain_value, found.refers_to.0),
            (22, VariableKind::Secret, None, vec!["db".to_owned()])
        );
        assert!(store::variables::find(&mut read, organization, ScopeKind::File, scope, "A").await.unwrap().is_none());
        assert_eq!(store::variables::all_of_scope(&mut read, organization, ScopeKind::Service, scope).await.unwrap().len(), 1);
        assert!(store::variables::all_of_scope(&mut read, two.organization, ScopeKind::Service, scope).await.unwrap().is_empty());
        assert_eq!(store::variables::count(&mut read, organization, ScopeKind::Service, scope).await.unwrap(), 1);
        let kept = store::variables::versions(&mut read, organization, row.id).await.unwrap();
        assert_eq!((kept.len(), kept[0].version, kept[19].version), (20, 22, 3));
        assert!(store::variables::find_version(&mut read, organization, row.id, 3).await.unwrap().is_some());
        assert!(store::variables::find_version(&mut read, two.organization, row.id, 3).await.unwrap().is_none());
        drop(read);

        let mut write = store.write().await.unwrap();
        assert!(!store::variables::delete(&mut write, two.organization, ScopeKind::Service, scope, "A").await.unwrap());
        assert!(store::variables::delete(&mut write, organization, ScopeKind::Service, scope, "A").await.unwrap());
        assert!(store::variables::versions(&mut write, organization, row.id).await.unwrap().is_empty(), "versions go with it");
    })
    .await;
}

#[tokio::test]
async fn credentials_domains_volumes_uploads_and_tags() {
    on_both(async |store| {
        let maker = Maker::new();
        let one = saved(store, &maker, "one").await;
        let two = saved(store, &maker, "two").await;
        let (organization, service) = (one.organization, one.service.id);
        let page = Page::default();
        let at = maker.now();
        let mut write = store.write().await.unwrap();
        let mut credential = store::credentials::CredentialRow {
            id: CredentialId::new(&maker.clock, &maker.entropy),
            organization_id: organization,
            kind: CredentialKind::GitToken,
            name: "token".into(),
            sealed_value: vec![9],
            host: Some("git.test".into()),
            username: Some("u".into()),
            public_line: None,
            fingerprint: None,
            known_hosts: None,
            last_characters: Some("cdef".into()),
            version: 1,
            author_kind: ActorKind::User,
            author_id: None,
            created_at: at,
            updated_at: at,
        };
        store::credentials::insert(&mut write, &credential).await.unwrap();
        credential.sealed_value = vec![8];
        store::credentials::update(&mut write, &credential).await.unwrap();
        let domain = |host: &str, tree: &Tree| store::domains::DomainRow {
            id: DomainId::new(&maker.clock, &maker.entropy),
            organization_id: tree.organization,
            service_id: tree.service.id,
            host: host.into(),
            is_primary: false,
            created_at: maker.now(),
        };
        let (first, second) = (domain("a.test", &one), domain("b.test", &one));
        store::domains::insert(&mut write, &first).await.unwrap();
        store::domains::insert(&mut write, &second).await.unwrap();
        store::domains::set_primary(&mut write, organization, service, Some(first.id)).await.unwrap();
        store::domains::set_primary(&mut write, organization, service, Some(second.id)).await.unwrap();
        let volume = store::volumes::VolumeRow {
            id: VolumeId::new(&maker.clock, &maker.entropy),
            organization_id: organization,
            service_id: service,
            name: "data".into(),
            created_at: at,
            deleting_at: None,
        };
        store::volumes::insert(&mut write, &volume).await.unwrap();
        store::volumes::mark_deleting(&mut write, organization, volume.id, at).await.unwrap();
        let upload = store::uploads::UploadRow {
            id: UploadId::new(&maker.clock, &maker.entropy),
            organization_id: organization,
            service_id: service,
            content_digest: "00".into(),
            format: store::uploads::ArchiveFormat::TarGz,
            size_bytes: 7,
            author_kind: ActorKind::User,
            author_id: None,
            created_at: at,
        };
        store::uploads::insert(&mut write, &upload).await.unwrap();
        let mut tag = store::tags::TagRow {
            id: TagId::new(&maker.clock, &maker.entropy),
            organization_id: organization,
            name: "blue".into(),
            color: "#0000ff".into(),
            created_at: at,
        };
        store::tags::insert(&mut write, &tag).await.unwrap();
        tag.color = "#1111ff".into();
        store::tags::update(&mut write, &tag).await.unwrap();
        store::tags::assign(&mut write, organization, one.project.id, tag.id).await.unwrap();
        store::tags::assign(&mut write, organization, one.project.id, tag.id).await.unwrap();
        write.commit_without_audit("test").await.unwrap();

        let mut write = store.write().await.unwrap();
        assert!(matches!(store::credentials::update(&mut write, &credential).await, Err(StoreError::Stale { .. })));
        drop(write);
        let mut write = store.write().await.unwrap();
        assert!(store::domains::insert(&mut write, &domain("a.test", &two)).await.unwrap_err().is_conflict_of("domains_host"));
        drop(write);
        let mut write = store.write().await.unwrap();
        assert!(matches!(store::tags::assign(&mut write, two.organization, two.project.id, tag.id).await, Err(StoreError::Reference)));

        drop(write);
        let mut read = store.read().await.unwrap();
        assert_eq!(store::credentials::find(&mut read, organization, credential.id).await.unwrap().unwrap().sealed_value, [8]);
        assert!(store::credentials::find(&mut read, two.organization, credential.id).await.unwrap().is_none());
        assert!(store::credentials::find_any(&mut read, credential.id).await.unwrap().is_some());
        assert_eq!(store::credentials::count(&mut read, organization).await.unwrap(), 1);
        assert!(store::credentials::list(&mut read, organization, Some(CredentialKind::Registry), &page).await.unwrap().rows.is_empty());
        assert_eq!(store::credentials::list(&mut read, organization, None, &page).await.unwrap().rows.len(), 1);
        let domains = store::domains::all_of_service(&mut read, organization, service).await.unwrap();
        assert_eq!(
            domains.iter().map(|row| (row.host.as_str(), row.is_primary)).collect::<Vec<_>>(),
            [("b.test", true), ("a.test", false)]
        );
        assert!(store::domains::all_of_service(&mut read, two.organization, service).await.unwrap().is_empty());
        assert!(store::domains::find(&mut read, organization, service, first.id).await.unwrap().is_some());
        assert!(store::domains::find_by_host(&mut read, organization, service, "a.test").await.unwrap().is_some());
        assert_eq!(store::domains::list(&mut read, organization, &Default::default(), &page).await.unwrap().rows.len(), 2);
        assert_eq!(store::domains::count(&mut read, organization, &Default::default()).await.unwrap(), 2);
        assert!(store::volumes::find(&mut read, organization, volume.id).await.unwrap().unwrap().deleting_at.is_some());
        assert!(store::volumes::find_any(&mut read, volume.id).await.unwrap().is_some());
        assert_eq!(store::volumes::all_of_service(&mut read, organization, service).await.unwrap().len(), 1);
        assert_eq!(store::volumes::all(&mut read).await.unwrap().len(), 1);
        assert_eq!(
            store::uploads::find(&mut read, organization, upload.id).await.unwrap().unwrap().format,
            store::uploads::ArchiveFormat::TarGz
        );
        assert!(store::uploads::find_any(&mut read, upload.id).await.unwrap().is_some());
        assert_eq!(store::uploads::list(&mut read, organization, service, &page).await.unwrap().rows.len(), 1);
        assert_eq!(store::uploads::all_of_service(&mut read, organization, service).await.unwrap().len(), 1);
        assert_eq!(store::tags::all(&mut read, organization).await.unwrap()[0].color, "#1111ff");
        assert!(store::tags::find(&mut read, two.organization, tag.id).await.unwrap().is_none());
        assert_eq!(store::tags::of_projects(&mut read, organization).await.unwrap()[0].name, "blue");
        let tagged = store::projects::ProjectFilter { tag: Some(tag.id), ..Default::default() };
        assert_eq!(store::projects::list(&mut read, organization, &tagged, &page).await.unwrap().rows.len(), 1);
        assert!(store::projects::list(&mut read, two.organization, &tagged, &page).await.unwrap().rows.is_empty());
        drop(read);

        let mut write = store.write().await.unwrap();
        store::tags::unassign(&mut write, organization, one.project.id, tag.id).await.unwrap();
        store::tags::delete(&mut write, organization, tag.id).await.unwrap();
        store::credentials::delete(&mut write, organization, credential.id).await.unwrap();
        store::domains::delete(&mut write, organization, service, first.id).await.unwrap();
        store::uploads::delete(&mut write, organization, upload.id).await.unwrap();
        store::volumes::delete(&mut write, organization, volume.id).await.unwrap();
        let row = variable(&maker, &one, "A");
        store::variables::insert(&mut write, &row).await.unwrap();
        store::services::delete(&mut write, organization, service).await.unwrap();
        store::environments::delete(&mut write, organization, one.environment.id).await.unwrap();
        store::projects::delete(&mut write, organization, one.project.id).await.unwrap();
        assert_eq!(store::variables::count(&mut write, organization, ScopeKind::Service, service.uuid()).await.unwrap(), 0);
        assert!(store::projects::find(&mut write, organization, one.project.id).await.unwrap().is_none());
        write.commit_without_audit("test").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn search_finds_parts_of_names_and_takes_signs_literally() {
    on_both(async |store| {
        let maker = Maker::new();
        let one = saved(store, &maker, "one").await;
        saved(store, &maker, "two").await;
        let mut read = store.read().await.unwrap();
        let found = store::search::by_name(&mut read, one.organization, &Default::default(), "SHO", 10).await.unwrap();
        assert_eq!(found.iter().map(|row| (row.kind.as_str(), row.slug.as_str())).collect::<Vec<_>>(), [("project", "shop")]);
        assert!(found.iter().all(|row| row.organization_id == one.organization));
        assert_eq!(
            store::search::by_name(&mut read, one.organization, &Default::default(), "web", 10).await.unwrap()[0].project_id,
            Some(one.project.id.uuid())
        );
        for text in ["%", "_", "\\", "' OR 1=1 --"] {
            assert!(store::search::by_name(&mut read, one.organization, &Default::default(), text, 10).await.unwrap().is_empty(), "{text}");
        }
    })
    .await;
}

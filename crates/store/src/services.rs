//! Services: what runs.

use chrono::{DateTime, Utc};
use domain::id::{EnvironmentId, Id, OrganizationId, ProjectId, ReleaseId, ServiceId};
use domain::service::{Configuration, ServiceKind};

use crate::*;

row! {
    pub struct ServiceRow {
        pub id: ServiceId,
        pub organization_id: OrganizationId,
        pub project_id: ProjectId,
        pub environment_id: EnvironmentId,
        pub slug: String,
        pub kind: ServiceKind,
        pub name: String,
        pub description: String,
        pub icon: Option<String>,
        /// One DNS label, unique in the instance: generated host, container names, log folder. Never changes;
        /// neighbours in the environment's network use the slug.
        pub app_name: String,
        pub configuration: Json<Configuration>,
        /// Guards changes of the configuration.
        pub version: i64,
        /// Rises with every change that the next release will contain.
        pub revision: i64,
        /// The revision that the current release was made of.
        pub released_revision: Option<i64>,
        pub current_release_id: Option<ReleaseId>,
        pub stopped: bool,
        pub fence: i64,
        pub created_at: DateTime<Utc>,
        pub updated_at: DateTime<Utc>,
        pub deleting_at: Option<DateTime<Utc>>,
    }
}

impl ServiceRow {
    /// Configuration, variables, files or domains differ from what the current release was made of.
    pub fn draft(&self) -> bool {
        self.released_revision != Some(self.revision)
    }
}

/// Whose next release a change concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Project(ProjectId),
    Environment(EnvironmentId),
    Service(ServiceId),
}

/// Which services are wanted.
#[derive(Debug, Clone, Default)]
pub struct ServiceFilter {
    pub project: Option<ProjectId>,
    pub environment: Option<EnvironmentId>,
    /// In a project with this tag.
    pub tag: Option<domain::id::TagId>,
    pub sight: Sight,
    pub order: NamedOrder,
}

/// # Errors
/// `Conflict` of `services_slug` when the environment has a service of this slug, of `services_app_name` when the app name
/// is taken by whomever: make another.
pub async fn insert(write: &mut Write, row: &ServiceRow) -> Result<(), StoreError> {
    let text = "INSERT INTO services (id, organization_id, project_id, environment_id, slug, kind, name, description, icon, app_name, \
                configuration, version, revision, stopped, fence, created_at, updated_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
    execute!(
        write,
        text,
        row.id,
        row.organization_id,
        row.project_id,
        row.environment_id,
        &row.slug,
        row.kind,
        &row.name,
        &row.description,
        &row.icon,
        &row.app_name,
        &row.configuration,
        row.version,
        row.revision,
        row.stopped,
        row.fence,
        row.created_at,
        row.updated_at
    )
    .await
    .map(|_| ())
}

pub async fn find(unit: &mut impl Unit, organization: OrganizationId, id: ServiceId) -> Result<Option<ServiceRow>, StoreError> {
    let text = "SELECT {columns} FROM services WHERE organization_id = $1 AND id = $2";
    fetch_optional!(unit, ServiceRow, text, organization, id).await
}

/// The row, locked until the unit ends.
pub async fn get_locked(write: &mut Write, organization: OrganizationId, id: ServiceId) -> Result<ServiceRow, StoreError> {
    let text = "SELECT {columns} FROM services WHERE organization_id = $1 AND id = $2 {for update}";
    fetch_optional!(write, ServiceRow, text, organization, id).await?.ok_or(StoreError::NotFound { row: "service" })
}

/// For the locator and for jobs, which learn the organization from the row.
pub async fn find_any(unit: &mut impl Unit, id: ServiceId) -> Result<Option<ServiceRow>, StoreError> {
    fetch_optional!(unit, ServiceRow, "SELECT {columns} FROM services WHERE id = $1", id).await
}

pub async fn find_by_slug(
    unit: &mut impl Unit,
    organization: OrganizationId,
    environment: EnvironmentId,
    slug: &str,
) -> Result<Option<ServiceRow>, StoreError> {
    let text = "SELECT {columns} FROM services WHERE organization_id = $1 AND environment_id = $2 AND slug = $3";
    fetch_optional!(unit, ServiceRow, text, organization, environment, slug).await
}

/// Whether any service of the instance has this app name.
pub async fn app_name_taken(unit: &mut impl Unit, app_name: &str) -> Result<bool, StoreError> {
    let text = "SELECT count(*) AS value FROM services WHERE app_name = $1";
    Ok(fetch_one!(unit, (i64,), text, app_name).await?.0 > 0)
}

pub async fn list(
    unit: &mut impl Unit,
    organization: OrganizationId,
    filter: &ServiceFilter,
    page: &Page,
) -> Result<Listing<ServiceRow>, StoreError> {
    let (order, sight) = (filter.order, &filter.sight);
    let filter = Filter::of("organization_id = ?", organization)
        .and_some("project_id = ?", filter.project)
        .and_some("environment_id = ?", filter.environment)
        .and_some("project_id IN (SELECT project_id FROM project_tags WHERE tag_id = ?)", filter.tag);
    fetch_page(unit, "SELECT {columns} FROM services", sight.of_services(filter), order.column(), page).await
}

/// All of an environment, oldest first.
pub async fn all_of_environment(
    unit: &mut impl Unit,
    organization: OrganizationId,
    environment: EnvironmentId,
) -> Result<Vec<ServiceRow>, StoreError> {
    let text = "SELECT {columns} FROM services WHERE organization_id = $1 AND environment_id = $2 ORDER BY created_at, id";
    fetch_all!(unit, ServiceRow, text, organization, environment).await
}

/// All of a project, oldest first.
pub async fn all_of_project(unit: &mut impl Unit, organization: OrganizationId, project: ProjectId) -> Result<Vec<ServiceRow>, StoreError> {
    let text = "SELECT {columns} FROM services WHERE organization_id = $1 AND project_id = $2 ORDER BY created_at, id";
    fetch_all!(unit, ServiceRow, text, organization, project).await
}

/// All of an organization, oldest first; for look-ups that read the configuration (who uses a credential).
pub async fn all_of_organization(unit: &mut impl Unit, organization: OrganizationId) -> Result<Vec<ServiceRow>, StoreError> {
    let text = "SELECT {columns} FROM services WHERE organization_id = $1 ORDER BY created_at, id";
    fetch_all!(unit, ServiceRow, text, organization).await
}

/// Every service of the instance, for the sweeper.
pub async fn all(unit: &mut impl Unit) -> Result<Vec<ServiceRow>, StoreError> {
    fetch_all!(unit, ServiceRow, "SELECT {columns} FROM services ORDER BY id").await
}

pub async fn count_in_environment(
    unit: &mut impl Unit,
    organization: OrganizationId,
    environment: EnvironmentId,
) -> Result<i64, StoreError> {
    let text = "SELECT count(*) AS value FROM services WHERE organization_id = $1 AND environment_id = $2";
    Ok(fetch_one!(unit, (i64,), text, organization, environment).await?.0)
}

pub async fn count(unit: &mut impl Unit, organization: OrganizationId, sight: &Sight) -> Result<i64, StoreError> {
    let filter = Filter::of("organization_id = ? AND deleting_at IS NULL", organization);
    count_rows(unit, "services", sight.of_services(filter)).await
}

/// Stores slug, name, description, icon and configuration; raises the version, and the revision when `released` parts changed.
///
/// # Errors
/// `Stale` when the row's version is not the stored one, `Conflict` of `services_slug`.
pub async fn update(write: &mut Write, row: &ServiceRow, released: bool) -> Result<(), StoreError> {
    let text = "UPDATE services SET slug = $4, name = $5, description = $6, icon = $7, configuration = $8, updated_at = $9, \
                version = version + 1, revision = revision + $10 WHERE organization_id = $1 AND id = $2 AND version = $3";
    let step = i64::from(released);
    match execute!(
        write,
        text,
        row.organization_id,
        row.id,
        row.version,
        &row.slug,
        &row.name,
        &row.description,
        &row.icon,
        &row.configuration,
        row.updated_at,
        step
    )
    .await?
    {
        0 => Err(StoreError::Stale { row: "services" }),
        _ => Ok(()),
    }
}

/// Something that the next release of these services will contain has changed.
pub async fn touch(write: &mut Write, organization: OrganizationId, reach: Reach) -> Result<u64, StoreError> {
    match reach {
        Reach::Project(id) => {
            execute!(write, "UPDATE services SET revision = revision + 1 WHERE organization_id = $1 AND project_id = $2", organization, id)
                .await
        }
        Reach::Environment(id) => {
            execute!(
                write,
                "UPDATE services SET revision = revision + 1 WHERE organization_id = $1 AND environment_id = $2",
                organization,
                id
            )
            .await
        }
        Reach::Service(id) => {
            execute!(write, "UPDATE services SET revision = revision + 1 WHERE organization_id = $1 AND id = $2", organization, id).await
        }
    }
}

/// A release serves now; `revision` is what the service's was when the release was frozen.
pub async fn set_released(
    write: &mut Write,
    organization: OrganizationId,
    id: ServiceId,
    release: ReleaseId,
    revision: i64,
) -> Result<(), StoreError> {
    let text = "UPDATE services SET current_release_id = $3, released_revision = $4 WHERE organization_id = $1 AND id = $2";
    match execute!(write, text, organization, id, release, revision).await? {
        0 => Err(StoreError::NotFound { row: "service" }),
        _ => Ok(()),
    }
}

/// Edits were taken back to what the current release was made of.
pub async fn set_unchanged(write: &mut Write, organization: OrganizationId, id: ServiceId) -> Result<(), StoreError> {
    let text = "UPDATE services SET released_revision = revision WHERE organization_id = $1 AND id = $2";
    execute!(write, text, organization, id).await.map(|_| ())
}

pub async fn set_stopped(write: &mut Write, organization: OrganizationId, id: ServiceId, stopped: bool) -> Result<(), StoreError> {
    let text = "UPDATE services SET stopped = $3 WHERE organization_id = $1 AND id = $2";
    match execute!(write, text, organization, id, stopped).await? {
        0 => Err(StoreError::NotFound { row: "service" }),
        _ => Ok(()),
    }
}

/// The next fencing number of the service: orders to the server with a lower one are refused there.
pub async fn next_fence(write: &mut Write, organization: OrganizationId, id: ServiceId) -> Result<i64, StoreError> {
    let text = "UPDATE services SET fence = fence + 1 WHERE organization_id = $1 AND id = $2";
    execute!(write, text, organization, id).await?;
    let text = "SELECT fence AS value FROM services WHERE organization_id = $1 AND id = $2";
    Ok(fetch_optional!(write, (i64,), text, organization, id).await?.ok_or(StoreError::NotFound { row: "service" })?.0)
}

/// Hangs the service below another environment; everything else stays.
///
/// # Errors
/// `Conflict` of `services_slug` when the target has a service of this slug, `Reference` when environment and project do
/// not belong together.
pub async fn set_parent(
    write: &mut Write,
    organization: OrganizationId,
    id: ServiceId,
    project: ProjectId,
    environment: EnvironmentId,
) -> Result<(), StoreError> {
    let text = "UPDATE services SET project_id = $3, environment_id = $4, revision = revision + 1 WHERE organization_id = $1 AND id = $2";
    match execute!(write, text, organization, id, project, environment).await? {
        0 => Err(StoreError::NotFound { row: "service" }),
        _ => Ok(()),
    }
}

/// From now on nothing starts; a job removes what runs, then the row.
pub async fn mark_deleting(write: &mut Write, organization: OrganizationId, id: ServiceId, at: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE services SET deleting_at = COALESCE(deleting_at, $3) WHERE organization_id = $1 AND id = $2";
    match execute!(write, text, organization, id, at).await? {
        0 => Err(StoreError::NotFound { row: "service" }),
        _ => Ok(()),
    }
}

/// Removes the row with its variables, files, domains, volumes' rows and uploads' rows.
pub async fn delete(write: &mut Write, organization: OrganizationId, id: ServiceId) -> Result<(), StoreError> {
    variables::delete_scope(write, organization, variables::ScopeKind::Service, id.uuid()).await?;
    variables::delete_scope(write, organization, variables::ScopeKind::File, id.uuid()).await?;
    for text in [
        "DELETE FROM domains WHERE organization_id = $1 AND service_id = $2",
        "DELETE FROM volumes WHERE organization_id = $1 AND service_id = $2",
        "DELETE FROM uploads WHERE organization_id = $1 AND service_id = $2",
        "DELETE FROM services WHERE organization_id = $1 AND id = $2",
    ] {
        execute!(write, text, organization, id).await?;
    }
    Ok(())
}

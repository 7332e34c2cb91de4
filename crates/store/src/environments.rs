//! Environments: copies of a project.

use chrono::{DateTime, Utc};
use domain::id::{EnvironmentId, OrganizationId, ProjectId};
use domain::project::EnvironmentKind;

use crate::*;

row! {
    pub struct EnvironmentRow {
        pub id: EnvironmentId,
        pub organization_id: OrganizationId,
        pub project_id: ProjectId,
        pub slug: String,
        pub name: String,
        pub kind: EnvironmentKind,
        /// The one that every project has; it cannot be deleted alone.
        pub is_default: bool,
        pub version: i64,
        pub created_at: DateTime<Utc>,
        pub updated_at: DateTime<Utc>,
        pub deleting_at: Option<DateTime<Utc>>,
    }
}

/// # Errors
/// `Conflict` of `environments_slug` when the project has an environment of this slug.
pub async fn insert(write: &mut Write, row: &EnvironmentRow) -> Result<(), StoreError> {
    let text = "INSERT INTO environments (id, organization_id, project_id, slug, name, kind, is_default, version, created_at, updated_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    execute!(
        write,
        text,
        row.id,
        row.organization_id,
        row.project_id,
        &row.slug,
        &row.name,
        row.kind,
        row.is_default,
        row.version,
        row.created_at,
        row.updated_at
    )
    .await
    .map(|_| ())
}

pub async fn find(unit: &mut impl Unit, organization: OrganizationId, id: EnvironmentId) -> Result<Option<EnvironmentRow>, StoreError> {
    let text = "SELECT {columns} FROM environments WHERE organization_id = $1 AND id = $2";
    fetch_optional!(unit, EnvironmentRow, text, organization, id).await
}

/// For the locator, which learns the organization from the row.
pub async fn find_any(unit: &mut impl Unit, id: EnvironmentId) -> Result<Option<EnvironmentRow>, StoreError> {
    fetch_optional!(unit, EnvironmentRow, "SELECT {columns} FROM environments WHERE id = $1", id).await
}

pub async fn find_by_slug(
    unit: &mut impl Unit,
    organization: OrganizationId,
    project: ProjectId,
    slug: &str,
) -> Result<Option<EnvironmentRow>, StoreError> {
    let text = "SELECT {columns} FROM environments WHERE organization_id = $1 AND project_id = $2 AND slug = $3";
    fetch_optional!(unit, EnvironmentRow, text, organization, project, slug).await
}

pub async fn list(
    unit: &mut impl Unit,
    organization: OrganizationId,
    project: ProjectId,
    sight: &Sight,
    order: NamedOrder,
    page: &Page,
) -> Result<Listing<EnvironmentRow>, StoreError> {
    let filter = Filter::of("organization_id = ?", organization).and("project_id = ?", project);
    fetch_page(unit, "SELECT {columns} FROM environments", sight.of_environments(filter), order.column(), page).await
}

/// All of a project, oldest first.
pub async fn all_of_project(
    unit: &mut impl Unit,
    organization: OrganizationId,
    project: ProjectId,
) -> Result<Vec<EnvironmentRow>, StoreError> {
    let text = "SELECT {columns} FROM environments WHERE organization_id = $1 AND project_id = $2 ORDER BY created_at, id";
    fetch_all!(unit, EnvironmentRow, text, organization, project).await
}

pub async fn count(unit: &mut impl Unit, organization: OrganizationId, sight: &Sight) -> Result<i64, StoreError> {
    let filter = Filter::of("organization_id = ? AND deleting_at IS NULL", organization);
    count_rows(unit, "environments", sight.of_environments(filter)).await
}

/// Stores slug, name and kind, and raises the version.
///
/// # Errors
/// `Stale` when the row's version is not the stored one, `Conflict` of `environments_slug`.
pub async fn update(write: &mut Write, row: &EnvironmentRow) -> Result<(), StoreError> {
    let text = "UPDATE environments SET slug = $4, name = $5, kind = $6, updated_at = $7, version = version + 1 \
                WHERE organization_id = $1 AND id = $2 AND version = $3";
    match execute!(write, text, row.organization_id, row.id, row.version, &row.slug, &row.name, row.kind, row.updated_at).await? {
        0 => Err(StoreError::Stale { row: "environments" }),
        _ => Ok(()),
    }
}

/// From now on nothing starts in it; a job removes what runs, then the rows.
pub async fn mark_deleting(
    write: &mut Write,
    organization: OrganizationId,
    id: EnvironmentId,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let text = "UPDATE environments SET deleting_at = COALESCE(deleting_at, $3) WHERE organization_id = $1 AND id = $2";
    match execute!(write, text, organization, id, at).await? {
        0 => Err(StoreError::NotFound { row: "environment" }),
        _ => Ok(()),
    }
}

/// Removes the row with its variables, once no service is left in it.
pub async fn delete(write: &mut Write, organization: OrganizationId, id: EnvironmentId) -> Result<(), StoreError> {
    variables::delete_scope(write, organization, variables::ScopeKind::Environment, domain::id::Id::uuid(id)).await?;
    execute!(write, "DELETE FROM environments WHERE organization_id = $1 AND id = $2", organization, id).await.map(|_| ())
}

/// Every environment of the instance, for the sweeper.
pub async fn all(unit: &mut impl Unit) -> Result<Vec<EnvironmentRow>, StoreError> {
    fetch_all!(unit, EnvironmentRow, "SELECT {columns} FROM environments ORDER BY id").await
}

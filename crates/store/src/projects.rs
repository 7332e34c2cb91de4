//! Projects: groups of environments.

use chrono::{DateTime, Utc};
use domain::id::{OrganizationId, ProjectId, TagId};

use crate::*;

row! {
    pub struct ProjectRow {
        pub id: ProjectId,
        pub organization_id: OrganizationId,
        pub slug: String,
        pub name: String,
        pub description: String,
        pub icon: Option<String>,
        pub version: i64,
        pub created_at: DateTime<Utc>,
        pub updated_at: DateTime<Utc>,
        pub deleting_at: Option<DateTime<Utc>>,
    }
}

/// Which projects are wanted.
#[derive(Debug, Clone, Default)]
pub struct ProjectFilter {
    pub tag: Option<TagId>,
    pub sight: Sight,
    pub order: NamedOrder,
}

/// # Errors
/// `Conflict` of `projects_slug` when the organization has a project of this slug.
pub async fn insert(write: &mut Write, row: &ProjectRow) -> Result<(), StoreError> {
    let text = "INSERT INTO projects (id, organization_id, slug, name, description, icon, version, created_at, updated_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    execute!(
        write,
        text,
        row.id,
        row.organization_id,
        &row.slug,
        &row.name,
        &row.description,
        &row.icon,
        row.version,
        row.created_at,
        row.updated_at
    )
    .await
    .map(|_| ())
}

pub async fn find(unit: &mut impl Unit, organization: OrganizationId, id: ProjectId) -> Result<Option<ProjectRow>, StoreError> {
    let text = "SELECT {columns} FROM projects WHERE organization_id = $1 AND id = $2";
    fetch_optional!(unit, ProjectRow, text, organization, id).await
}

/// For the locator, which learns the organization from the row.
pub async fn find_any(unit: &mut impl Unit, id: ProjectId) -> Result<Option<ProjectRow>, StoreError> {
    fetch_optional!(unit, ProjectRow, "SELECT {columns} FROM projects WHERE id = $1", id).await
}

pub async fn find_by_slug(unit: &mut impl Unit, organization: OrganizationId, slug: &str) -> Result<Option<ProjectRow>, StoreError> {
    let text = "SELECT {columns} FROM projects WHERE organization_id = $1 AND slug = $2";
    fetch_optional!(unit, ProjectRow, text, organization, slug).await
}

pub async fn list(
    unit: &mut impl Unit,
    organization: OrganizationId,
    filter: &ProjectFilter,
    page: &Page,
) -> Result<Listing<ProjectRow>, StoreError> {
    let (order, sight) = (filter.order, &filter.sight);
    let filter = Filter::of("organization_id = ?", organization)
        .and_some("id IN (SELECT project_id FROM project_tags WHERE tag_id = ?)", filter.tag);
    fetch_page(unit, "SELECT {columns} FROM projects", sight.of_projects(filter), order.column(), page).await
}

/// All of an organization, oldest first.
pub async fn all(unit: &mut impl Unit, organization: OrganizationId) -> Result<Vec<ProjectRow>, StoreError> {
    let text = "SELECT {columns} FROM projects WHERE organization_id = $1 ORDER BY created_at, id";
    fetch_all!(unit, ProjectRow, text, organization).await
}

pub async fn count(unit: &mut impl Unit, organization: OrganizationId, sight: &Sight) -> Result<i64, StoreError> {
    let filter = Filter::of("organization_id = ? AND deleting_at IS NULL", organization);
    count_rows(unit, "projects", sight.of_projects(filter)).await
}

/// Stores slug, name, description and icon, and raises the version.
///
/// # Errors
/// `Stale` when the row's version is not the stored one, `Conflict` of `projects_slug`.
pub async fn update(write: &mut Write, row: &ProjectRow) -> Result<(), StoreError> {
    let text = "UPDATE projects SET slug = $4, name = $5, description = $6, icon = $7, updated_at = $8, version = version + 1 \
                WHERE organization_id = $1 AND id = $2 AND version = $3";
    match execute!(write, text, row.organization_id, row.id, row.version, &row.slug, &row.name, &row.description, &row.icon, row.updated_at)
        .await?
    {
        0 => Err(StoreError::Stale { row: "projects" }),
        _ => Ok(()),
    }
}

/// From now on nothing starts in it; a job removes what runs, then the rows.
pub async fn mark_deleting(write: &mut Write, organization: OrganizationId, id: ProjectId, at: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE projects SET deleting_at = COALESCE(deleting_at, $3) WHERE organization_id = $1 AND id = $2";
    match execute!(write, text, organization, id, at).await? {
        0 => Err(StoreError::NotFound { row: "project" }),
        _ => Ok(()),
    }
}

/// Removes the row, once no environment is left in it.
pub async fn delete(write: &mut Write, organization: OrganizationId, id: ProjectId) -> Result<(), StoreError> {
    variables::delete_scope(write, organization, variables::ScopeKind::Project, domain::id::Id::uuid(id)).await?;
    execute!(write, "DELETE FROM projects WHERE organization_id = $1 AND id = $2", organization, id).await.map(|_| ())
}

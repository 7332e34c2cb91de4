//! Tags: coloured, organization-wide, many per project.

use chrono::{DateTime, Utc};
use domain::id::{OrganizationId, ProjectId, TagId};

use crate::*;

row! {
    pub struct TagRow {
        pub id: TagId,
        pub organization_id: OrganizationId,
        pub name: String,
        pub color: String,
        pub created_at: DateTime<Utc>,
    }
}

row! {
    /// A tag on a project.
    pub struct ProjectTagRow {
        pub project_id: ProjectId,
        pub id: TagId,
        pub name: String,
        pub color: String,
    }
}

/// # Errors
/// `Conflict` of `tags_name` when the organization has a tag of this name.
pub async fn insert(write: &mut Write, row: &TagRow) -> Result<(), StoreError> {
    let text = "INSERT INTO tags (id, organization_id, name, color, created_at) VALUES ($1, $2, $3, $4, $5)";
    execute!(write, text, row.id, row.organization_id, &row.name, &row.color, row.created_at).await.map(|_| ())
}

pub async fn find(unit: &mut impl Unit, organization: OrganizationId, id: TagId) -> Result<Option<TagRow>, StoreError> {
    fetch_optional!(unit, TagRow, "SELECT {columns} FROM tags WHERE organization_id = $1 AND id = $2", organization, id).await
}

/// All of an organization, by name.
pub async fn all(unit: &mut impl Unit, organization: OrganizationId) -> Result<Vec<TagRow>, StoreError> {
    fetch_all!(unit, TagRow, "SELECT {columns} FROM tags WHERE organization_id = $1 ORDER BY name", organization).await
}

/// # Errors
/// `Conflict` of `tags_name`.
pub async fn update(write: &mut Write, row: &TagRow) -> Result<(), StoreError> {
    let text = "UPDATE tags SET name = $3, color = $4 WHERE organization_id = $1 AND id = $2";
    match execute!(write, text, row.organization_id, row.id, &row.name, &row.color).await? {
        0 => Err(StoreError::NotFound { row: "tag" }),
        _ => Ok(()),
    }
}

pub async fn delete(write: &mut Write, organization: OrganizationId, id: TagId) -> Result<(), StoreError> {
    match execute!(write, "DELETE FROM tags WHERE organization_id = $1 AND id = $2", organization, id).await? {
        0 => Err(StoreError::NotFound { row: "tag" }),
        _ => Ok(()),
    }
}

/// Puts the tag on the project; a repeat changes nothing.
///
/// # Errors
/// `Reference` when tag or project is not of this organization.
pub async fn assign(write: &mut Write, organization: OrganizationId, project: ProjectId, tag: TagId) -> Result<(), StoreError> {
    let text =
        "INSERT INTO project_tags (organization_id, project_id, tag_id) VALUES ($1, $2, $3) ON CONFLICT (project_id, tag_id) DO NOTHING";
    execute!(write, text, organization, project, tag).await.map(|_| ())
}

pub async fn unassign(write: &mut Write, organization: OrganizationId, project: ProjectId, tag: TagId) -> Result<(), StoreError> {
    let text = "DELETE FROM project_tags WHERE organization_id = $1 AND project_id = $2 AND tag_id = $3";
    execute!(write, text, organization, project, tag).await.map(|_| ())
}

/// The tags of one project, by name.
pub async fn of_project(unit: &mut impl Unit, organization: OrganizationId, project: ProjectId) -> Result<Vec<ProjectTagRow>, StoreError> {
    let text = "SELECT p.project_id, t.id, t.name, t.color FROM project_tags p JOIN tags t ON t.id = p.tag_id \
                WHERE p.organization_id = $1 AND p.project_id = $2 ORDER BY t.name";
    fetch_all!(unit, ProjectTagRow, text, organization, project).await
}

/// The tags of every project of an organization, by project and name.
pub async fn of_projects(unit: &mut impl Unit, organization: OrganizationId) -> Result<Vec<ProjectTagRow>, StoreError> {
    let text = "SELECT p.project_id, t.id, t.name, t.color FROM project_tags p JOIN tags t ON t.id = p.tag_id \
                WHERE p.organization_id = $1 ORDER BY p.project_id, t.name";
    fetch_all!(unit, ProjectTagRow, text, organization).await
}

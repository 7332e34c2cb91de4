//! Organizations: the tenants.

use chrono::{DateTime, Utc};
use domain::id::{OrganizationId, UserId};
use domain::permission::Role;

use crate::*;

row! {
    pub struct OrganizationRow {
        pub id: OrganizationId,
        pub slug: String,
        pub name: String,
        pub settings: Json<serde_json::Value>,
        pub version: i64,
        pub created_at: DateTime<Utc>,
        pub updated_at: DateTime<Utc>,
        pub deleted_at: Option<DateTime<Utc>>,
    }
}

pub async fn find(unit: &mut impl Unit, id: OrganizationId) -> Result<Option<OrganizationRow>, StoreError> {
    fetch_optional!(unit, OrganizationRow, "SELECT {columns} FROM organizations WHERE id = $1 AND deleted_at IS NULL", id).await
}

pub async fn find_by_slug(unit: &mut impl Unit, slug: &str) -> Result<Option<OrganizationRow>, StoreError> {
    fetch_optional!(unit, OrganizationRow, "SELECT {columns} FROM organizations WHERE slug = $1 AND deleted_at IS NULL", slug).await
}

/// # Errors
/// `Conflict` of `organizations_slug` when the slug is taken.
pub async fn insert(write: &mut Write, row: &OrganizationRow) -> Result<(), StoreError> {
    let text = "INSERT INTO organizations (id, slug, name, settings, version, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    execute!(write, text, row.id, &row.slug, &row.name, &row.settings, row.version, row.created_at, row.updated_at).await.map(|_| ())
}

row! {
    /// An organization as one of its members sees it in the list.
    pub struct OwnRow {
        pub id: OrganizationId,
        pub slug: String,
        pub name: String,
        pub settings: Json<serde_json::Value>,
        pub version: i64,
        pub created_at: DateTime<Utc>,
        pub role: Role,
    }
}

/// The organizations of a person. `only`: the one that a token is confined to.
pub async fn list_of_user(
    unit: &mut impl Unit,
    user: UserId,
    only: Option<OrganizationId>,
    page: &Page,
) -> Result<Listing<OwnRow>, StoreError> {
    let filter = Filter::of("m.user_id = ?", user).and_all("o.deleted_at IS NULL", Vec::new()).and_some("o.id = ?", only);
    let select = "SELECT o.id, o.slug, o.name, o.settings, o.version, o.created_at, m.role \
                  FROM organizations o JOIN memberships m ON m.organization_id = o.id";
    fetch_page(unit, select, filter, Order::Newest("o.created_at"), page).await
}

/// Locks the row until the unit ends.
pub async fn get_for_update(write: &mut Write, id: OrganizationId) -> Result<OrganizationRow, StoreError> {
    fetch_one!(write, OrganizationRow, "SELECT {columns} FROM organizations WHERE id = $1 AND deleted_at IS NULL {for update}", id).await
}

/// # Errors
/// `Conflict` of `organizations_slug` when the slug is taken; `Stale` when the version is not the caller's any more.
pub async fn update(write: &mut Write, row: &OrganizationRow, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE organizations SET slug = $3, name = $4, settings = $5, updated_at = $6, version = version + 1 \
                WHERE id = $1 AND version = $2 AND deleted_at IS NULL";
    match execute!(write, text, row.id, row.version, &row.slug, &row.name, &row.settings, now).await? {
        0 => Err(StoreError::Stale { row: "organizations" }),
        _ => Ok(()),
    }
}

/// Hides the organization at once and frees its slug; its rows are removed by retention.
pub async fn delete(write: &mut Write, id: OrganizationId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text =
        "UPDATE organizations SET deleted_at = $2, updated_at = $2, slug = $3, version = version + 1 WHERE id = $1 AND deleted_at IS NULL";
    match execute!(write, text, id, now, format!("deleted:{id}")).await? {
        0 => Err(StoreError::NotFound { row: "organizations" }),
        _ => Ok(()),
    }
}

pub async fn list_ids(unit: &mut impl Unit) -> Result<Vec<OrganizationId>, StoreError> {
    Ok(fetch_all!(unit, (OrganizationId,), "SELECT id AS value FROM organizations ORDER BY id")
        .await?
        .into_iter()
        .map(|(id,)| id)
        .collect())
}

//! Organizations: the tenants.

use chrono::{DateTime, Utc};
use domain::id::OrganizationId;

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

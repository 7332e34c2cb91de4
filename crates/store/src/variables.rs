//! Variables of projects, environments and services, and text files of services. A value is one row of `variable_versions`;
//! the variable names the version that counts.

use chrono::{DateTime, Utc};
use domain::id::{OrganizationId, VariableId};
use domain::variables::VariableKind;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::*;

/// Versions of a value that are kept.
pub const VERSIONS_KEPT: i64 = 20;

/// What a variable belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    Project,
    Environment,
    Service,
    /// A text file of a service, named by the service's id.
    File,
}

row! {
    pub struct VariableRow {
        pub id: VariableId,
        pub organization_id: OrganizationId,
        pub scope_kind: ScopeKind,
        pub scope_id: Uuid,
        pub name: String,
        pub kind: VariableKind,
        pub version: i64,
        /// Slugs of the services that the value refers to.
        pub refers_to: Json<Vec<String>>,
        pub created_at: DateTime<Utc>,
        pub updated_at: DateTime<Utc>,
    }
}

row! {
    pub struct VersionRow {
        pub id: Uuid,
        pub organization_id: OrganizationId,
        pub variable_id: VariableId,
        pub version: i64,
        pub kind: VariableKind,
        pub plain_value: Option<String>,
        /// Sealed to the place of this row.
        pub sealed_value: Option<Vec<u8>>,
        pub size_bytes: i64,
        pub author_kind: audit::ActorKind,
        pub author_id: Option<String>,
        pub created_at: DateTime<Utc>,
    }
}

row! {
    /// A variable with the version that counts.
    pub struct CurrentRow {
        pub id: VariableId,
        pub scope_kind: ScopeKind,
        pub scope_id: Uuid,
        pub name: String,
        pub kind: VariableKind,
        pub version: i64,
        pub version_id: Uuid,
        pub plain_value: Option<String>,
        pub sealed_value: Option<Vec<u8>>,
        pub size_bytes: i64,
        pub refers_to: Json<Vec<String>>,
        pub author_kind: audit::ActorKind,
        pub author_id: Option<String>,
        pub created_at: DateTime<Utc>,
        pub updated_at: DateTime<Utc>,
    }
}

macro_rules! current {
    ($conditions:literal) => {
        concat!(
            "SELECT v.id, v.scope_kind, v.scope_id, v.name, v.kind, v.version, w.id AS version_id, w.plain_value, w.sealed_value, ",
            "w.size_bytes, v.refers_to, w.author_kind, w.author_id, v.created_at, v.updated_at ",
            "FROM variables v JOIN variable_versions w ON w.variable_id = v.id AND w.version = v.version WHERE ",
            $conditions
        )
    };
}

/// All of one scope, by name, with their values.
pub async fn all_of_scope(
    unit: &mut impl Unit,
    organization: OrganizationId,
    kind: ScopeKind,
    scope: Uuid,
) -> Result<Vec<CurrentRow>, StoreError> {
    let text = current!("v.organization_id = $1 AND v.scope_kind = $2 AND v.scope_id = $3 ORDER BY v.name");
    fetch_all!(unit, CurrentRow, text, organization, kind, scope).await
}

pub async fn find(
    unit: &mut impl Unit,
    organization: OrganizationId,
    kind: ScopeKind,
    scope: Uuid,
    name: &str,
) -> Result<Option<CurrentRow>, StoreError> {
    let text = current!("v.organization_id = $1 AND v.scope_kind = $2 AND v.scope_id = $3 AND v.name = $4");
    fetch_optional!(unit, CurrentRow, text, organization, kind, scope, name).await
}

pub async fn count(unit: &mut impl Unit, organization: OrganizationId, kind: ScopeKind, scope: Uuid) -> Result<i64, StoreError> {
    let text = "SELECT count(*) AS value FROM variables WHERE organization_id = $1 AND scope_kind = $2 AND scope_id = $3";
    Ok(fetch_one!(unit, (i64,), text, organization, kind, scope).await?.0)
}

/// A text that changes with every change in the scope: guards the replacement of a whole set (If-Match).
pub async fn set_version(unit: &mut impl Unit, organization: OrganizationId, kind: ScopeKind, scope: Uuid) -> Result<String, StoreError> {
    row! {
        struct MemberRow {
            id: Uuid,
            version: i64,
        }
    }
    let text = "SELECT {columns} FROM variables WHERE organization_id = $1 AND scope_kind = $2 AND scope_id = $3 ORDER BY id";
    let mut hash = Sha256::new();
    for member in fetch_all!(unit, MemberRow, text, organization, kind, scope).await? {
        hash.update(member.id.as_bytes());
        hash.update(member.version.to_be_bytes());
    }
    Ok(hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect())
}

/// How many variables the service of the environment has that has most.
pub async fn count_fullest_service(unit: &mut impl Unit, organization: OrganizationId, environment: Uuid) -> Result<i64, StoreError> {
    let text = "SELECT count(*) AS value FROM variables WHERE organization_id = $1 AND scope_kind = 'service' AND scope_id IN \
                (SELECT id FROM services WHERE environment_id = $2) GROUP BY scope_id ORDER BY value DESC LIMIT 1";
    Ok(fetch_optional!(unit, (i64,), text, organization, environment).await?.map_or(0, |row| row.0))
}

/// # Errors
/// `Conflict` of `variables_name` when the scope has a variable of this name.
pub async fn insert(write: &mut Write, row: &VariableRow) -> Result<(), StoreError> {
    let text = "INSERT INTO variables (id, organization_id, scope_kind, scope_id, name, kind, version, refers_to, created_at, updated_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    execute!(
        write,
        text,
        row.id,
        row.organization_id,
        row.scope_kind,
        row.scope_id,
        &row.name,
        row.kind,
        row.version,
        &row.refers_to,
        row.created_at,
        row.updated_at
    )
    .await
    .map(|_| ())
}

/// Adds a version; [`set_current`] or [`insert`] makes it count.
///
/// # Errors
/// `Conflict` of `variable_versions_version` when another set the variable at the same time.
pub async fn insert_version(write: &mut Write, row: &VersionRow) -> Result<(), StoreError> {
    let text = "INSERT INTO variable_versions (id, organization_id, variable_id, version, kind, plain_value, sealed_value, size_bytes, \
                author_kind, author_id, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    execute!(
        write,
        text,
        row.id,
        row.organization_id,
        row.variable_id,
        row.version,
        row.kind,
        &row.plain_value,
        &row.sealed_value,
        row.size_bytes,
        row.author_kind,
        &row.author_id,
        row.created_at
    )
    .await
    .map(|_| ())
}

/// Makes a version count and forgets versions older than the newest [`VERSIONS_KEPT`].
pub async fn set_current(
    write: &mut Write,
    organization: OrganizationId,
    id: VariableId,
    version: i64,
    kind: VariableKind,
    refers_to: Vec<String>,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let text = "UPDATE variables SET version = $3, kind = $4, refers_to = $5, updated_at = $6 WHERE organization_id = $1 AND id = $2";
    if execute!(write, text, organization, id, version, kind, Json(refers_to), at).await? == 0 {
        return Err(StoreError::NotFound { row: "variable" });
    }
    let text = "DELETE FROM variable_versions WHERE organization_id = $1 AND variable_id = $2 AND version <= $3";
    execute!(write, text, organization, id, version - VERSIONS_KEPT).await.map(|_| ())
}

/// The versions that are kept, newest first.
pub async fn versions(unit: &mut impl Unit, organization: OrganizationId, id: VariableId) -> Result<Vec<VersionRow>, StoreError> {
    let text = "SELECT {columns} FROM variable_versions WHERE organization_id = $1 AND variable_id = $2 ORDER BY version DESC";
    fetch_all!(unit, VersionRow, text, organization, id).await
}

pub async fn find_version(
    unit: &mut impl Unit,
    organization: OrganizationId,
    id: VariableId,
    version: i64,
) -> Result<Option<VersionRow>, StoreError> {
    let text = "SELECT {columns} FROM variable_versions WHERE organization_id = $1 AND variable_id = $2 AND version = $3";
    fetch_optional!(unit, VersionRow, text, organization, id, version).await
}

/// Removes a variable with all its versions. Answers whether there was one.
pub async fn delete(write: &mut Write, organization: OrganizationId, kind: ScopeKind, scope: Uuid, name: &str) -> Result<bool, StoreError> {
    let text = "DELETE FROM variables WHERE organization_id = $1 AND scope_kind = $2 AND scope_id = $3 AND name = $4";
    Ok(execute!(write, text, organization, kind, scope, name).await? > 0)
}

/// Removes everything of a scope that is being deleted.
pub async fn delete_scope(write: &mut Write, organization: OrganizationId, kind: ScopeKind, scope: Uuid) -> Result<u64, StoreError> {
    let text = "DELETE FROM variables WHERE organization_id = $1 AND scope_kind = $2 AND scope_id = $3";
    execute!(write, text, organization, kind, scope).await
}

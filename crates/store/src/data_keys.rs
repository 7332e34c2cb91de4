//! Wrapped data keys of tenants. Deleting a tenant's rows makes everything it sealed unreadable, for good.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    Current,
    Pending,
    Retired,
}

row! {
    pub struct DataKeyRow {
        pub tenant: Uuid,
        pub version: i64,
        pub wrapped: Vec<u8>,
        pub master_key_id: String,
        pub state: KeyState,
        pub created_at: DateTime<Utc>,
    }
}

/// Every key of the tenant, oldest first; empty when it never had a secret.
pub async fn list(unit: &mut impl Unit, tenant: Uuid) -> Result<Vec<DataKeyRow>, StoreError> {
    fetch_all!(unit, DataKeyRow, "SELECT {columns} FROM data_keys WHERE tenant = $1 ORDER BY version", tenant).await
}

/// The first key of a tenant; does nothing when another process was faster.
pub async fn insert_first(write: &mut Write, tenant: Uuid, wrapped: &[u8], master_key: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "INSERT INTO data_keys (tenant, version, wrapped, master_key_id, state, created_at) \
                VALUES ($1, 1, $2, $3, 'current', $4) ON CONFLICT DO NOTHING";
    execute!(write, text, tenant, wrapped, master_key, now).await.map(|_| ())
}

/// True when any tenant has a key: there is something that only the right master key opens.
pub async fn exists(unit: &mut impl Unit) -> Result<bool, StoreError> {
    Ok(fetch_optional!(unit, (i64,), "SELECT version AS value FROM data_keys LIMIT 1").await?.is_some())
}

/// Every key of every tenant: one row per tenant and version.
pub async fn list_all(unit: &mut impl Unit) -> Result<Vec<DataKeyRow>, StoreError> {
    fetch_all!(unit, DataKeyRow, "SELECT {columns} FROM data_keys ORDER BY tenant, version").await
}

row! {
    /// How far a rotation or a count is.
    pub struct DataKeyProgress {
        pub tenant: Uuid,
        pub version: i64,
        pub state: KeyState,
        pub uses: i64,
        pub retired_at: Option<DateTime<Utc>>,
    }
}

/// State and use of every key of every tenant, by tenant and version.
pub async fn list_progress(unit: &mut impl Unit) -> Result<Vec<DataKeyProgress>, StoreError> {
    fetch_all!(unit, DataKeyProgress, "SELECT {columns} FROM data_keys ORDER BY tenant, version").await
}

pub async fn progress(unit: &mut impl Unit, tenant: Uuid) -> Result<Vec<DataKeyProgress>, StoreError> {
    fetch_all!(unit, DataKeyProgress, "SELECT {columns} FROM data_keys WHERE tenant = $1 ORDER BY version", tenant).await
}

/// The next version, which opens but does not seal yet.
///
/// # Errors
/// `Conflict` when the tenant has this version.
pub async fn insert_pending(
    write: &mut Write,
    tenant: Uuid,
    version: i64,
    wrapped: &[u8],
    master_key: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let text = "INSERT INTO data_keys (tenant, version, wrapped, master_key_id, state, created_at) VALUES ($1, $2, $3, $4, 'pending', $5)";
    execute!(write, text, tenant, version, wrapped, master_key, now).await.map(|_| ())
}

/// The pending version seals from now on; the one before only opens. Answers whether there was a pending one.
pub async fn promote_pending(write: &mut Write, tenant: Uuid) -> Result<bool, StoreError> {
    let pending = fetch_optional!(
        write,
        (i64,),
        "SELECT version AS value FROM data_keys WHERE tenant = $1 AND state = 'pending' {for update}",
        tenant
    )
    .await?;
    let Some((version,)) = pending else { return Ok(false) };
    execute!(write, "UPDATE data_keys SET state = 'retired' WHERE tenant = $1 AND state = 'current'", tenant).await?;
    execute!(write, "UPDATE data_keys SET state = 'current' WHERE tenant = $1 AND version = $2", tenant, version).await?;
    Ok(true)
}

/// Nothing is sealed with the old versions any more. Answers how many were waiting for that.
pub async fn mark_retired(write: &mut Write, tenant: Uuid, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let text = "UPDATE data_keys SET retired_at = $2 WHERE tenant = $1 AND state = 'retired' AND retired_at IS NULL";
    execute!(write, text, tenant, now).await
}

/// Destroys an old version for good. The caller has counted that nothing is sealed with it.
pub async fn delete_retired(write: &mut Write, tenant: Uuid, version: i64) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM data_keys WHERE tenant = $1 AND version = $2 AND state = 'retired'", tenant, version).await
}

/// Keys that are wrapped by another master key than this one.
pub async fn list_under_other_master(unit: &mut impl Unit, master_key: &str, limit: i64) -> Result<Vec<DataKeyRow>, StoreError> {
    let text = "SELECT {columns} FROM data_keys WHERE master_key_id <> $1 ORDER BY tenant, version LIMIT $2";
    fetch_all!(unit, DataKeyRow, text, master_key, limit).await
}

/// Stores the same key under another master key, unless somebody else did; answers whether it was stored.
pub async fn rewrap(write: &mut Write, row: &DataKeyRow, wrapped: &[u8], master_key: &str) -> Result<bool, StoreError> {
    let text = "UPDATE data_keys SET wrapped = $4, master_key_id = $5 WHERE tenant = $1 AND version = $2 AND wrapped = $3";
    Ok(execute!(write, text, row.tenant, row.version, row.wrapped.as_slice(), wrapped, master_key).await? > 0)
}

/// Adds to the count of values that were sealed with a key.
pub async fn add_uses(write: &mut Write, tenant: Uuid, version: i64, uses: i64) -> Result<(), StoreError> {
    execute!(write, "UPDATE data_keys SET uses = uses + $3 WHERE tenant = $1 AND version = $2", tenant, version, uses).await.map(|_| ())
}

/// The version that seals; `None` for a tenant without a key.
pub async fn current_version(unit: &mut impl Unit, tenant: Uuid) -> Result<Option<i64>, StoreError> {
    let text = "SELECT version AS value FROM data_keys WHERE tenant = $1 AND state = 'current'";
    Ok(fetch_optional!(unit, (i64,), text, tenant).await?.map(|row| row.0))
}

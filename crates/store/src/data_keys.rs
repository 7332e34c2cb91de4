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

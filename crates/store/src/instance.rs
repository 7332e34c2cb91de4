//! Settings of the instance: one row.

use chrono::{DateTime, Utc};

use crate::*;

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignUp {
    Open,
    Invitation,
    Closed,
}

row! {
    pub struct InstanceRow {
        pub setup_token_digest: Option<Vec<u8>>,
        pub sign_up: SignUp,
        pub settings: Json<serde_json::Value>,
        pub key_check: Option<Vec<u8>>,
        pub version: i64,
        pub created_at: DateTime<Utc>,
        pub updated_at: DateTime<Utc>,
    }
}

pub async fn find(unit: &mut impl Unit) -> Result<Option<InstanceRow>, StoreError> {
    fetch_optional!(unit, InstanceRow, "SELECT {columns} FROM instance_settings WHERE id = 1").await
}

pub async fn get_for_update(write: &mut Write) -> Result<InstanceRow, StoreError> {
    fetch_one!(write, InstanceRow, "SELECT {columns} FROM instance_settings WHERE id = 1 {for update}").await
}

/// Makes the row at the first start; does nothing when it is there.
pub async fn ensure(write: &mut Write, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "INSERT INTO instance_settings (id, sign_up, settings, version, created_at, updated_at) \
                VALUES (1, 'invitation', $1, 1, $2, $2) ON CONFLICT DO NOTHING";
    execute!(write, text, serde_json::json!({}), now).await.map(|_| ())
}

/// The digest of the one-time setup token; `None` once it is used.
pub async fn set_setup_token(write: &mut Write, digest: Option<&[u8]>, now: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(write, "UPDATE instance_settings SET setup_token_digest = $1, updated_at = $2 WHERE id = 1", digest, now).await.map(|_| ())
}

/// # Errors
/// `Stale` when the version is not the caller's any more.
pub async fn update(
    write: &mut Write,
    sign_up: SignUp,
    settings: &serde_json::Value,
    version: i64,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let text =
        "UPDATE instance_settings SET sign_up = $1, settings = $2, updated_at = $3, version = version + 1 WHERE id = 1 AND version = $4";
    match execute!(write, text, sign_up, settings, now, version).await? {
        0 => Err(StoreError::Stale { row: "instance_settings" }),
        _ => Ok(()),
    }
}

/// The value that tells a wrong master key at start.
pub async fn set_key_check(write: &mut Write, check: &[u8], now: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(write, "UPDATE instance_settings SET key_check = $1, updated_at = $2 WHERE id = 1", check, now).await.map(|_| ())
}

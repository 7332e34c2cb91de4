//! Which master keys have been in use, by id; the keys themselves are never here.

use chrono::{DateTime, Utc};

use crate::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MasterKeyState {
    Current,
    /// A rotation to it is under way.
    Pending,
    Retired,
}

row! {
    pub struct MasterKeyRow {
        pub id: String,
        pub state: MasterKeyState,
        pub created_at: DateTime<Utc>,
        pub retired_at: Option<DateTime<Utc>>,
    }
}

pub async fn list(unit: &mut impl Unit) -> Result<Vec<MasterKeyRow>, StoreError> {
    fetch_all!(unit, MasterKeyRow, "SELECT {columns} FROM master_keys ORDER BY created_at, id").await
}

pub async fn find(unit: &mut impl Unit, id: &str) -> Result<Option<MasterKeyRow>, StoreError> {
    fetch_optional!(unit, MasterKeyRow, "SELECT {columns} FROM master_keys WHERE id = $1", id).await
}

/// Stores a key's state; a key that is not known is made known.
pub async fn set(write: &mut Write, id: &str, state: MasterKeyState, now: DateTime<Utc>) -> Result<(), StoreError> {
    let retired_at = (state == MasterKeyState::Retired).then_some(now);
    let text = "INSERT INTO master_keys (id, state, created_at, retired_at) VALUES ($1, $2, $3, $4) \
                ON CONFLICT (id) DO UPDATE SET state = excluded.state, retired_at = excluded.retired_at";
    execute!(write, text, id, state, now, retired_at).await.map(|_| ())
}

/// Until this unit ends, nobody else retires a master key or wraps a first data key.
pub async fn exclusive(write: &mut Write) -> Result<(), StoreError> {
    write.exclusive("master_keys").await
}

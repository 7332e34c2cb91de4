//! Signed-in browsers. Only the digest of the cookie is stored.

use chrono::{DateTime, Utc};
use domain::id::{SessionId, UserId};

use crate::*;

row! {
    pub struct SessionRow {
        pub id: SessionId,
        pub user_id: UserId,
        pub digest: Vec<u8>,
        pub created_at: DateTime<Utc>,
        pub last_used_at: DateTime<Utc>,
        /// When the password was last given.
        pub confirmed_at: DateTime<Utc>,
        pub expires_at: DateTime<Utc>,
        /// Browser and system, for the list of devices.
        pub device: Option<String>,
        /// Truncated.
        pub source_address: Option<String>,
    }
}

pub async fn find_by_digest(unit: &mut impl Unit, digest: &[u8]) -> Result<Option<SessionRow>, StoreError> {
    fetch_optional!(unit, SessionRow, "SELECT {columns} FROM sessions WHERE digest = $1", digest).await
}

/// The session, whether it has ended or not.
pub async fn find(unit: &mut impl Unit, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
    fetch_optional!(unit, SessionRow, "SELECT {columns} FROM sessions WHERE id = $1", id).await
}

pub async fn list(unit: &mut impl Unit, user: UserId, page: &Page) -> Result<Listing<SessionRow>, StoreError> {
    let filter = Filter::of("user_id = ?", user);
    fetch_page(unit, "SELECT {columns} FROM sessions", filter, Order::Newest("created_at"), page).await
}

/// Whether the person has been seen with this device before.
pub async fn knows_device(unit: &mut impl Unit, user: UserId, device: Option<&str>) -> Result<bool, StoreError> {
    let text = "SELECT count(*) AS value FROM sessions WHERE user_id = $1 AND device = $2";
    Ok(fetch_one!(unit, (i64,), text, user, device).await?.0 > 0)
}

pub async fn insert(write: &mut Write, row: &SessionRow) -> Result<(), StoreError> {
    let text = "INSERT INTO sessions (id, user_id, digest, created_at, last_used_at, confirmed_at, expires_at, device, source_address) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    execute!(
        write,
        text,
        row.id,
        row.user_id,
        &row.digest,
        row.created_at,
        row.last_used_at,
        row.confirmed_at,
        row.expires_at,
        &row.device,
        &row.source_address
    )
    .await
    .map(|_| ())
}

pub async fn touch(write: &mut Write, id: SessionId, now: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(write, "UPDATE sessions SET last_used_at = $2 WHERE id = $1", id, now).await.map(|_| ())
}

/// A new cookie for the session, and a password given just now.
pub async fn rotate(write: &mut Write, user: UserId, id: SessionId, digest: &[u8], now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE sessions SET digest = $3, confirmed_at = $4, last_used_at = $4 WHERE user_id = $1 AND id = $2";
    match execute!(write, text, user, id, digest, now).await? {
        0 => Err(StoreError::NotFound { row: "sessions" }),
        _ => Ok(()),
    }
}

pub async fn delete(write: &mut Write, user: UserId, id: SessionId) -> Result<(), StoreError> {
    match execute!(write, "DELETE FROM sessions WHERE user_id = $1 AND id = $2", user, id).await? {
        0 => Err(StoreError::NotFound { row: "sessions" }),
        _ => Ok(()),
    }
}

/// All sessions of a person, but the one to keep. Answers how many ended.
pub async fn delete_others(write: &mut Write, user: UserId, keep: Option<SessionId>) -> Result<u64, StoreError> {
    match keep {
        Some(keep) => execute!(write, "DELETE FROM sessions WHERE user_id = $1 AND id <> $2", user, keep).await,
        None => execute!(write, "DELETE FROM sessions WHERE user_id = $1", user).await,
    }
}

/// Sessions past their end, or unused since `idle_since`.
pub async fn purge(write: &mut Write, now: DateTime<Utc>, idle_since: DateTime<Utc>) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM sessions WHERE expires_at <= $1 OR last_used_at <= $2", now, idle_since).await
}

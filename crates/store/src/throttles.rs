//! Failed log-ins per address that was tried, whether or not it has an account.

use chrono::{DateTime, Utc};

use crate::*;

row! {
    pub struct ThrottleRow {
        pub failures: i64,
        pub last_failed_at: DateTime<Utc>,
        pub blocked_until: DateTime<Utc>,
    }
}

pub async fn find(unit: &mut impl Unit, key: &[u8]) -> Result<Option<ThrottleRow>, StoreError> {
    fetch_optional!(unit, ThrottleRow, "SELECT {columns} FROM login_throttles WHERE key = $1", key).await
}

/// Counts a failure and answers the new number.
pub async fn fail(write: &mut Write, key: &[u8], now: DateTime<Utc>) -> Result<i64, StoreError> {
    let text = "INSERT INTO login_throttles (key, failures, last_failed_at, blocked_until) VALUES ($1, 1, $2, $2) \
                ON CONFLICT (key) DO UPDATE SET failures = login_throttles.failures + 1, last_failed_at = $2 RETURNING failures AS value";
    Ok(fetch_one!(write, (i64,), text, key, now).await?.0)
}

pub async fn block(write: &mut Write, key: &[u8], until: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(write, "UPDATE login_throttles SET blocked_until = $2 WHERE key = $1", key, until).await.map(|_| ())
}

pub async fn clear(write: &mut Write, key: &[u8]) -> Result<(), StoreError> {
    execute!(write, "DELETE FROM login_throttles WHERE key = $1", key).await.map(|_| ())
}

/// Entries whose last failure is older than `before`.
pub async fn purge(write: &mut Write, before: DateTime<Utc>) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM login_throttles WHERE last_failed_at < $1", before).await
}

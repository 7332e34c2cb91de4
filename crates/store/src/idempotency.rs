//! Idempotency keys: a request that is sent twice is done once and answered twice.
//!
//! `scope` is principal and route, so a key of one person or route never meets another's.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Json, StoreError, Unit, Write, execute, fetch_optional, row};

/// Keys deleted per call of [`delete_expired`].
const DELETE_BATCH: i64 = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    Running,
    Done,
}

crate::text_value!(KeyState);

row! {
    pub struct IdempotencyRow {
        pub scope: String,
        pub key: String,
        /// SHA-256 of method, path and body: another request under the same key is refused.
        pub fingerprint: Vec<u8>,
        pub state: KeyState,
        pub status: Option<u16>,
        pub headers: Option<Json<Vec<(String, String)>>>,
        pub body: Option<Vec<u8>>,
        pub created_at: DateTime<Utc>,
        pub expires_at: DateTime<Utc>,
        pub taken_at: Option<DateTime<Utc>>,
    }
}

/// What the key says about a request.
#[derive(Debug, Clone)]
pub enum Begin {
    /// The first of its kind, or one that nobody finished: do it, then [`finish`] (or [`forget`] it when nothing was done).
    First {
        /// When the key was first used; the same for whoever takes it over.
        since: DateTime<Utc>,
    },
    /// The same request is being done now.
    Running,
    /// Already done: this was the answer.
    Done(Answer),
    /// The key was used for another request.
    Mismatch,
}

/// An answer to be given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Takes the key or tells what became of it. An expired row counts as none. One that was taken at or before `abandoned` and has
/// no answer yet is taken over: whoever had it is gone.
pub async fn begin(
    write: &mut Write,
    (scope, key): (&str, &str),
    fingerprint: [u8; 32],
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    abandoned: DateTime<Utc>,
) -> Result<Begin, StoreError> {
    execute!(write, "DELETE FROM idempotency_keys WHERE scope = $1 AND key = $2 AND expires_at <= $3", scope, key, now).await?;
    let text = "INSERT INTO idempotency_keys (scope, key, fingerprint, state, created_at, expires_at, taken_at) \
                VALUES ($1, $2, $3, 'running', $4, $5, $4) ON CONFLICT (scope, key) DO NOTHING";
    let inserted = execute!(write, text, scope, key, fingerprint, now, expires_at).await? == 1;
    // Gone again between the two statements (the other request was forgotten): the client may simply repeat.
    let Some(row) = find(write, scope, key).await? else { return Ok(Begin::Running) };
    if inserted {
        return Ok(Begin::First { since: row.created_at });
    }
    if row.fingerprint != fingerprint {
        return Ok(Begin::Mismatch);
    }
    if let (KeyState::Done, Some(status)) = (row.state, row.status) {
        return Ok(Begin::Done(Answer {
            status,
            headers: row.headers.map(|headers| headers.0).unwrap_or_default(),
            body: row.body.unwrap_or_default(),
        }));
    }
    let text = "UPDATE idempotency_keys SET taken_at = $3 WHERE scope = $1 AND key = $2 AND state = 'running' \
                AND COALESCE(taken_at, created_at) <= $4";
    Ok(match execute!(write, text, scope, key, now, abandoned).await? {
        1 => Begin::First { since: row.created_at },
        _ => Begin::Running,
    })
}

/// Keeps the answer; in the same unit as the change itself, so that both are kept or neither is.
pub async fn finish(write: &mut Write, scope: &str, key: &str, answer: &Answer) -> Result<(), StoreError> {
    let text = "UPDATE idempotency_keys SET state = 'done', status = $3, headers = $4, body = $5 \
                WHERE scope = $1 AND key = $2 AND state = 'running'";
    match execute!(write, text, scope, key, answer.status, Json(&answer.headers), &answer.body).await? {
        1 => Ok(()),
        _ => Err(StoreError::Stale { row: "idempotency_keys" }),
    }
}

/// Frees a key whose request changed nothing (refused, failed before the commit).
pub async fn forget(write: &mut Write, scope: &str, key: &str) -> Result<(), StoreError> {
    let text = "DELETE FROM idempotency_keys WHERE scope = $1 AND key = $2 AND state = 'running'";
    execute!(write, text, scope, key).await.map(|_| ())
}

pub async fn find(unit: &mut impl Unit, scope: &str, key: &str) -> Result<Option<IdempotencyRow>, StoreError> {
    fetch_optional!(unit, IdempotencyRow, "SELECT {columns} FROM idempotency_keys WHERE scope = $1 AND key = $2", scope, key).await
}

/// Lets the next request with the key go on at once: this one failed, and may have changed something all the same.
pub async fn free(write: &mut Write, scope: &str, key: &str) -> Result<(), StoreError> {
    let text = "UPDATE idempotency_keys SET taken_at = $3 WHERE scope = $1 AND key = $2 AND state = 'running'";
    execute!(write, text, scope, key, DateTime::<Utc>::UNIX_EPOCH).await.map(|_| ())
}

/// The same for all keys that were running when the previous process died: nobody will finish them. For the only process.
pub async fn free_running(write: &mut Write) -> Result<u64, StoreError> {
    execute!(write, "UPDATE idempotency_keys SET taken_at = $1 WHERE state = 'running'", DateTime::<Utc>::UNIX_EPOCH).await
}

/// Deletes expired keys, a batch at a time. Returns how many.
pub async fn delete_expired(write: &mut Write, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let text = "DELETE FROM idempotency_keys WHERE (scope, key) IN \
                (SELECT scope, key FROM idempotency_keys WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)";
    execute!(write, text, now, DELETE_BATCH).await
}

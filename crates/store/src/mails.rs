//! The outbox: a mail is a row of the unit that caused it, sent by a job after the commit.

use chrono::{DateTime, Utc};
use domain::id::{MailId, OrganizationId, UserId};

use crate::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailState {
    Queued,
    Sent,
    Failed,
}

row! {
    pub struct MailRow {
        pub id: MailId,
        pub user_id: Option<UserId>,
        pub organization_id: Option<OrganizationId>,
        /// Name of the template.
        pub kind: String,
        pub recipient: String,
        /// The template's values, sealed; gone when the mail is sent.
        pub payload_sealed: Option<Vec<u8>>,
        pub state: MailState,
        pub attempts: i64,
        pub error: Option<String>,
        pub created_at: DateTime<Utc>,
        pub sent_at: Option<DateTime<Utc>>,
    }
}

pub async fn find(unit: &mut impl Unit, id: MailId) -> Result<Option<MailRow>, StoreError> {
    fetch_optional!(unit, MailRow, "SELECT {columns} FROM mails WHERE id = $1", id).await
}

/// Mails that wait, oldest first.
pub async fn list_queued(unit: &mut impl Unit, limit: i64) -> Result<Vec<MailRow>, StoreError> {
    fetch_all!(unit, MailRow, "SELECT {columns} FROM mails WHERE state = 'queued' ORDER BY created_at, id LIMIT $1", limit).await
}

pub async fn insert(write: &mut Write, row: &MailRow) -> Result<(), StoreError> {
    let text = "INSERT INTO mails (id, user_id, organization_id, kind, recipient, payload_sealed, state, attempts, created_at) \
                VALUES ($1, $2, $3, $4, $5, $6, 'queued', 0, $7)";
    execute!(write, text, row.id, row.user_id, row.organization_id, &row.kind, &row.recipient, &row.payload_sealed, row.created_at)
        .await
        .map(|_| ())
}

pub async fn mark_sent(write: &mut Write, id: MailId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE mails SET state = 'sent', sent_at = $2, payload_sealed = NULL, error = NULL, attempts = attempts + 1 WHERE id = $1";
    execute!(write, text, id, now).await.map(|_| ())
}

/// Notes a failed try; `give_up` ends it.
pub async fn mark_failed(write: &mut Write, id: MailId, error: &str, give_up: bool) -> Result<(), StoreError> {
    let text = match give_up {
        true => "UPDATE mails SET state = 'failed', error = $2, payload_sealed = NULL, attempts = attempts + 1 WHERE id = $1",
        false => "UPDATE mails SET error = $2, attempts = attempts + 1 WHERE id = $1",
    };
    execute!(write, text, id, error).await.map(|_| ())
}

/// Finished mails older than `before`.
pub async fn purge(write: &mut Write, before: DateTime<Utc>) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM mails WHERE state <> 'queued' AND created_at < $1", before).await
}

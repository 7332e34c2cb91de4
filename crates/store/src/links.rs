//! One-use links that are sent by mail, some with a six-digit code. A used link is deleted: it works once.

use chrono::{DateTime, Utc};
use domain::id::{OrganizationId, UserId};
use uuid::Uuid;

use crate::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    VerifyEmail,
    ResetPassword,
    /// Sent to the new address: makes it the account's.
    ChangeEmail,
    /// Sent to the old address: calls the change off, or takes it back.
    CancelEmailChange,
    /// Sent to the member who is to become owner.
    TransferOwnership,
}

row! {
    pub struct LinkRow {
        pub id: Uuid,
        pub kind: LinkKind,
        pub user_id: UserId,
        pub organization_id: Option<OrganizationId>,
        pub digest: Vec<u8>,
        pub code_digest: Option<Vec<u8>>,
        pub code_expires_at: Option<DateTime<Utc>>,
        pub attempts: i64,
        pub email: Option<String>,
        pub created_at: DateTime<Utc>,
        pub expires_at: DateTime<Utc>,
    }
}

pub async fn find_by_digest(unit: &mut impl Unit, kind: LinkKind, digest: &[u8]) -> Result<Option<LinkRow>, StoreError> {
    fetch_optional!(unit, LinkRow, "SELECT {columns} FROM links WHERE digest = $1 AND kind = $2", digest, kind).await
}

/// The newest link of a kind.
pub async fn newest(unit: &mut impl Unit, user: UserId, kind: LinkKind) -> Result<Option<LinkRow>, StoreError> {
    let text = "SELECT {columns} FROM links WHERE user_id = $1 AND kind = $2 ORDER BY created_at DESC, id DESC LIMIT 1";
    fetch_optional!(unit, LinkRow, text, user, kind).await
}

/// Links of a kind made for a person since a time: for limits on mails.
pub async fn count_since(unit: &mut impl Unit, user: UserId, kind: LinkKind, since: DateTime<Utc>) -> Result<i64, StoreError> {
    let text = "SELECT count(*) AS value FROM links WHERE user_id = $1 AND kind = $2 AND created_at > $3";
    Ok(fetch_one!(unit, (i64,), text, user, kind, since).await?.0)
}

/// The pending offer of ownership.
pub async fn find_transfer(unit: &mut impl Unit, organization: OrganizationId, user: UserId) -> Result<Option<LinkRow>, StoreError> {
    let text = "SELECT {columns} FROM links WHERE organization_id = $1 AND user_id = $2 AND kind = 'transfer_ownership' \
                ORDER BY created_at DESC LIMIT 1";
    fetch_optional!(unit, LinkRow, text, organization, user).await
}

pub async fn insert(write: &mut Write, row: &LinkRow) -> Result<(), StoreError> {
    let text = "INSERT INTO links (id, kind, user_id, organization_id, digest, code_digest, code_expires_at, attempts, email, created_at, \
                expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10)";
    execute!(
        write,
        text,
        row.id,
        row.kind,
        row.user_id,
        row.organization_id,
        &row.digest,
        &row.code_digest,
        row.code_expires_at,
        &row.email,
        row.created_at,
        row.expires_at
    )
    .await
    .map(|_| ())
}

/// Counts one try of the code; `false` when there were `attempts_max` already.
pub async fn try_code(write: &mut Write, id: Uuid, attempts_max: i64) -> Result<bool, StoreError> {
    let text = "UPDATE links SET attempts = attempts + 1 WHERE id = $1 AND attempts < $2";
    Ok(execute!(write, text, id, attempts_max).await? > 0)
}

/// Uses the link up; `false` when another was faster.
pub async fn consume(write: &mut Write, id: Uuid) -> Result<bool, StoreError> {
    Ok(execute!(write, "DELETE FROM links WHERE id = $1", id).await? > 0)
}

/// All links of a kind of a person: a newer one takes their place, or they are moot.
pub async fn delete_of_user(write: &mut Write, user: UserId, kind: LinkKind) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM links WHERE user_id = $1 AND kind = $2", user, kind).await
}

pub async fn delete_transfers(write: &mut Write, organization: OrganizationId) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM links WHERE organization_id = $1 AND kind = 'transfer_ownership'", organization).await
}

pub async fn purge(write: &mut Write, now: DateTime<Utc>) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM links WHERE expires_at <= $1", now).await
}

/// The offer to one member.
pub async fn delete_transfer_to(write: &mut Write, organization: OrganizationId, user: UserId) -> Result<u64, StoreError> {
    let text = "DELETE FROM links WHERE organization_id = $1 AND user_id = $2 AND kind = 'transfer_ownership'";
    execute!(write, text, organization, user).await
}

//! Personal access tokens. Only the digest of the secret is stored.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::id::{EnvironmentId, OrganizationId, ProjectId, ServiceId, TokenId, UserId};
use domain::permission::Permission;

use crate::*;

row! {
    pub struct TokenRow {
        pub id: TokenId,
        pub user_id: UserId,
        pub name: String,
        pub digest: Vec<u8>,
        pub scopes: Json<BTreeSet<Permission>>,
        pub organization_id: Option<OrganizationId>,
        pub project_id: Option<ProjectId>,
        pub environment_id: Option<EnvironmentId>,
        pub service_id: Option<ServiceId>,
        /// Networks (CIDR) it may be used from; `None`: any.
        pub addresses: Option<Json<Vec<String>>>,
        /// A budget of its own: so many requests within so many seconds.
        pub rate_requests: Option<i64>,
        pub rate_window_seconds: Option<i64>,
        pub created_at: DateTime<Utc>,
        pub expires_at: DateTime<Utc>,
        pub last_used_at: Option<DateTime<Utc>>,
        /// When the owner was told that it expires soon.
        pub warned_at: Option<DateTime<Utc>>,
    }
}

pub async fn find(unit: &mut impl Unit, id: TokenId) -> Result<Option<TokenRow>, StoreError> {
    fetch_optional!(unit, TokenRow, "SELECT {columns} FROM tokens WHERE id = $1", id).await
}

pub async fn list(unit: &mut impl Unit, user: UserId, page: &Page) -> Result<Listing<TokenRow>, StoreError> {
    let filter = Filter::of("user_id = ?", user);
    fetch_page(unit, "SELECT {columns} FROM tokens", filter, Order::Newest("created_at"), page).await
}

pub async fn count(unit: &mut impl Unit, user: UserId) -> Result<i64, StoreError> {
    Ok(fetch_one!(unit, (i64,), "SELECT count(*) AS value FROM tokens WHERE user_id = $1", user).await?.0)
}

pub async fn insert(write: &mut Write, row: &TokenRow) -> Result<(), StoreError> {
    let text = "INSERT INTO tokens (id, user_id, name, digest, scopes, organization_id, project_id, environment_id, service_id, \
                addresses, rate_requests, rate_window_seconds, created_at, expires_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    execute!(
        write,
        text,
        row.id,
        row.user_id,
        &row.name,
        &row.digest,
        &row.scopes,
        row.organization_id,
        row.project_id,
        row.environment_id,
        row.service_id,
        &row.addresses,
        row.rate_requests,
        row.rate_window_seconds,
        row.created_at,
        row.expires_at
    )
    .await
    .map(|_| ())
}

pub async fn touch(write: &mut Write, id: TokenId, now: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(write, "UPDATE tokens SET last_used_at = $2 WHERE id = $1", id, now).await.map(|_| ())
}

pub async fn delete(write: &mut Write, user: UserId, id: TokenId) -> Result<(), StoreError> {
    match execute!(write, "DELETE FROM tokens WHERE user_id = $1 AND id = $2", user, id).await? {
        0 => Err(StoreError::NotFound { row: "tokens" }),
        _ => Ok(()),
    }
}

/// Tokens of a person that are confined to an organization which they leave.
pub async fn delete_of_member(write: &mut Write, organization: OrganizationId, user: UserId) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM tokens WHERE organization_id = $1 AND user_id = $2", organization, user).await
}

/// Every token that is confined to an organization which is being deleted.
pub async fn delete_of_organization(write: &mut Write, organization: OrganizationId) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM tokens WHERE organization_id = $1", organization).await
}

pub async fn delete_of_user(write: &mut Write, user: UserId) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM tokens WHERE user_id = $1", user).await
}

/// Tokens that expire before `before` and whose owners have not been told.
pub async fn list_expiring(
    unit: &mut impl Unit,
    now: DateTime<Utc>,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<TokenRow>, StoreError> {
    let text =
        "SELECT {columns} FROM tokens WHERE expires_at > $1 AND expires_at <= $2 AND warned_at IS NULL ORDER BY expires_at, id LIMIT $3";
    fetch_all!(unit, TokenRow, text, now, before, limit).await
}

/// Answers whether this caller is the one who tells.
pub async fn mark_warned(write: &mut Write, id: TokenId, now: DateTime<Utc>) -> Result<bool, StoreError> {
    Ok(execute!(write, "UPDATE tokens SET warned_at = $2 WHERE id = $1 AND warned_at IS NULL", id, now).await? > 0)
}

/// Tokens that have been expired since before `before`.
pub async fn purge(write: &mut Write, before: DateTime<Utc>) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM tokens WHERE expires_at <= $1", before).await
}

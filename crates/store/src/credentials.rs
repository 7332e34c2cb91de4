//! Credentials of an organization for git hosts and registries.

use chrono::{DateTime, Utc};
use domain::credential::CredentialKind;
use domain::id::{CredentialId, OrganizationId};

use crate::*;

row! {
    pub struct CredentialRow {
        pub id: CredentialId,
        pub organization_id: OrganizationId,
        pub kind: CredentialKind,
        pub name: String,
        /// Token, private key in OpenSSH form, or password; sealed to the place of this row.
        pub sealed_value: Vec<u8>,
        /// Host of the git server or registry.
        pub host: Option<String>,
        pub username: Option<String>,
        /// Deploy keys: the line to enter at the git host.
        pub public_line: Option<String>,
        pub fingerprint: Option<String>,
        /// Deploy keys: lines of trusted host keys.
        pub known_hosts: Option<String>,
        /// The last characters of the value, to tell it from others.
        pub last_characters: Option<String>,
        pub version: i64,
        pub author_kind: audit::ActorKind,
        pub author_id: Option<String>,
        pub created_at: DateTime<Utc>,
        pub updated_at: DateTime<Utc>,
    }
}

/// # Errors
/// `Conflict` of `credentials_name` when the organization has a credential of this name.
pub async fn insert(write: &mut Write, row: &CredentialRow) -> Result<(), StoreError> {
    let text = "INSERT INTO credentials (id, organization_id, kind, name, sealed_value, host, username, public_line, fingerprint, \
                known_hosts, last_characters, version, author_kind, author_id, created_at, updated_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    execute!(
        write,
        text,
        row.id,
        row.organization_id,
        row.kind,
        &row.name,
        row.sealed_value.as_slice(),
        &row.host,
        &row.username,
        &row.public_line,
        &row.fingerprint,
        &row.known_hosts,
        &row.last_characters,
        row.version,
        row.author_kind,
        &row.author_id,
        row.created_at,
        row.updated_at
    )
    .await
    .map(|_| ())
}

pub async fn find(unit: &mut impl Unit, organization: OrganizationId, id: CredentialId) -> Result<Option<CredentialRow>, StoreError> {
    let text = "SELECT {columns} FROM credentials WHERE organization_id = $1 AND id = $2";
    fetch_optional!(unit, CredentialRow, text, organization, id).await
}

/// For the locator, which learns the organization from the row.
pub async fn find_any(unit: &mut impl Unit, id: CredentialId) -> Result<Option<CredentialRow>, StoreError> {
    fetch_optional!(unit, CredentialRow, "SELECT {columns} FROM credentials WHERE id = $1", id).await
}

pub async fn list(
    unit: &mut impl Unit,
    organization: OrganizationId,
    kind: Option<CredentialKind>,
    page: &Page,
) -> Result<Listing<CredentialRow>, StoreError> {
    let filter = Filter::of("organization_id = ?", organization).and_some("kind = ?", kind);
    fetch_page(unit, "SELECT {columns} FROM credentials", filter, Order::Newest("created_at"), page).await
}

pub async fn count(unit: &mut impl Unit, organization: OrganizationId) -> Result<i64, StoreError> {
    let text = "SELECT count(*) AS value FROM credentials WHERE organization_id = $1";
    Ok(fetch_one!(unit, (i64,), text, organization).await?.0)
}

/// Stores everything but kind, organization and creation, and raises the version.
///
/// # Errors
/// `Stale` when the row's version is not the stored one, `Conflict` of `credentials_name`.
pub async fn update(write: &mut Write, row: &CredentialRow) -> Result<(), StoreError> {
    let text = "UPDATE credentials SET name = $4, sealed_value = $5, host = $6, username = $7, public_line = $8, fingerprint = $9, \
                known_hosts = $10, last_characters = $11, author_kind = $12, author_id = $13, updated_at = $14, version = version + 1 \
                WHERE organization_id = $1 AND id = $2 AND version = $3";
    match execute!(
        write,
        text,
        row.organization_id,
        row.id,
        row.version,
        &row.name,
        row.sealed_value.as_slice(),
        &row.host,
        &row.username,
        &row.public_line,
        &row.fingerprint,
        &row.known_hosts,
        &row.last_characters,
        row.author_kind,
        &row.author_id,
        row.updated_at
    )
    .await?
    {
        0 => Err(StoreError::Stale { row: "credentials" }),
        _ => Ok(()),
    }
}

pub async fn delete(write: &mut Write, organization: OrganizationId, id: CredentialId) -> Result<(), StoreError> {
    match execute!(write, "DELETE FROM credentials WHERE organization_id = $1 AND id = $2", organization, id).await? {
        0 => Err(StoreError::NotFound { row: "credential" }),
        _ => Ok(()),
    }
}

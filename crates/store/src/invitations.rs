//! Invitations into organizations. A person has one at a time per organization; a new one takes the old one's place.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::id::{EnvironmentId, InvitationId, OrganizationId, ProjectId, ServiceId, UserId};
use domain::permission::Role;

use crate::memberships::Switches;
use crate::*;

row! {
    pub struct InvitationRow {
        pub id: InvitationId,
        pub organization_id: OrganizationId,
        pub email: String,
        pub email_key: String,
        pub role: Role,
        pub switches: Json<Switches>,
        pub projects: Option<Json<BTreeSet<ProjectId>>>,
        pub environments: Option<Json<BTreeSet<EnvironmentId>>>,
        pub services: Option<Json<BTreeSet<ServiceId>>>,
        pub digest: Vec<u8>,
        pub invited_by: UserId,
        pub created_at: DateTime<Utc>,
        pub expires_at: DateTime<Utc>,
    }
}

pub async fn find_by_digest(unit: &mut impl Unit, digest: &[u8]) -> Result<Option<InvitationRow>, StoreError> {
    let text = "SELECT {i.columns} FROM invitations i JOIN organizations o ON o.id = i.organization_id \
                WHERE i.digest = $1 AND o.deleted_at IS NULL";
    fetch_optional!(unit, InvitationRow, text, digest).await
}

pub async fn find(unit: &mut impl Unit, organization: OrganizationId, id: InvitationId) -> Result<Option<InvitationRow>, StoreError> {
    fetch_optional!(unit, InvitationRow, "SELECT {columns} FROM invitations WHERE organization_id = $1 AND id = $2", organization, id).await
}

pub async fn list(unit: &mut impl Unit, organization: OrganizationId, page: &Page) -> Result<Listing<InvitationRow>, StoreError> {
    let filter = Filter::of("organization_id = ?", organization);
    fetch_page(unit, "SELECT {columns} FROM invitations", filter, Order::Newest("created_at"), page).await
}

pub async fn count(unit: &mut impl Unit, organization: OrganizationId) -> Result<i64, StoreError> {
    let text = "SELECT count(*) AS value FROM invitations WHERE organization_id = $1";
    Ok(fetch_one!(unit, (i64,), text, organization).await?.0)
}

/// Stores the invitation; an earlier one of the same address stops working.
pub async fn replace(write: &mut Write, row: &InvitationRow) -> Result<(), StoreError> {
    execute!(write, "DELETE FROM invitations WHERE organization_id = $1 AND email_key = $2", row.organization_id, &row.email_key).await?;
    let text = "INSERT INTO invitations (id, organization_id, email, email_key, role, switches, projects, environments, services, digest, \
                invited_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    execute!(
        write,
        text,
        row.id,
        row.organization_id,
        &row.email,
        &row.email_key,
        row.role,
        &row.switches,
        &row.projects,
        &row.environments,
        &row.services,
        &row.digest,
        row.invited_by,
        row.created_at,
        row.expires_at
    )
    .await
    .map(|_| ())
}

/// Used, or revoked.
pub async fn delete(write: &mut Write, organization: OrganizationId, id: InvitationId) -> Result<(), StoreError> {
    match execute!(write, "DELETE FROM invitations WHERE organization_id = $1 AND id = $2", organization, id).await? {
        0 => Err(StoreError::NotFound { row: "invitations" }),
        _ => Ok(()),
    }
}

pub async fn delete_of_organization(write: &mut Write, organization: OrganizationId) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM invitations WHERE organization_id = $1", organization).await
}

/// Those that somebody made who may not any more.
pub async fn delete_of_inviter(write: &mut Write, organization: OrganizationId, inviter: UserId) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM invitations WHERE organization_id = $1 AND invited_by = $2", organization, inviter).await
}

pub async fn purge(write: &mut Write, now: DateTime<Utc>) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM invitations WHERE expires_at <= $1", now).await
}

//! Who belongs to which organization, with which role.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::id::{EnvironmentId, OrganizationId, ProjectId, ServiceId, UserId};
use domain::permission::{Permission, Role};

use crate::*;

/// Rights of a member that differ from the role's.
pub type Switches = BTreeMap<Permission, bool>;

row! {
    pub struct MembershipRow {
        pub organization_id: OrganizationId,
        pub user_id: UserId,
        pub role: Role,
        pub switches: Json<Switches>,
        /// The only projects that a member or viewer sees; `None`: all.
        pub projects: Option<Json<BTreeSet<ProjectId>>>,
        pub environments: Option<Json<BTreeSet<EnvironmentId>>>,
        pub services: Option<Json<BTreeSet<ServiceId>>>,
        pub version: i64,
        pub created_at: DateTime<Utc>,
        pub updated_at: DateTime<Utc>,
    }
}

row! {
    /// A member with what is shown of the person.
    pub struct MemberRow {
        /// The person.
        pub id: UserId,
        pub email: String,
        pub name: String,
        pub role: Role,
        pub switches: Json<Switches>,
        pub projects: Option<Json<BTreeSet<ProjectId>>>,
        pub environments: Option<Json<BTreeSet<EnvironmentId>>>,
        pub services: Option<Json<BTreeSet<ServiceId>>>,
        pub version: i64,
        pub created_at: DateTime<Utc>,
    }
}

impl MembershipRow {
    /// What the lists of the row say; the role may give more.
    pub fn sight(&self) -> Sight {
        Sight {
            projects: self.projects.clone().map(|list| list.0),
            environments: self.environments.clone().map(|list| list.0),
            services: self.services.clone().map(|list| list.0),
        }
    }
}

/// The membership in a living organization.
pub async fn find(unit: &mut impl Unit, organization: OrganizationId, user: UserId) -> Result<Option<MembershipRow>, StoreError> {
    let text = "SELECT {m.columns} FROM memberships m JOIN organizations o ON o.id = m.organization_id \
                WHERE m.organization_id = $1 AND m.user_id = $2 AND o.deleted_at IS NULL";
    fetch_optional!(unit, MembershipRow, text, organization, user).await
}

/// Every membership of the organization, locked until the unit ends: for rules about the last owner.
pub async fn list_for_update(write: &mut Write, organization: OrganizationId) -> Result<Vec<MembershipRow>, StoreError> {
    let text = "SELECT {columns} FROM memberships WHERE organization_id = $1 ORDER BY user_id {for update}";
    fetch_all!(write, MembershipRow, text, organization).await
}

/// Every membership of a person in living organizations.
pub async fn list_of_user(unit: &mut impl Unit, user: UserId) -> Result<Vec<MembershipRow>, StoreError> {
    let text = "SELECT {m.columns} FROM memberships m JOIN organizations o ON o.id = m.organization_id \
                WHERE m.user_id = $1 AND o.deleted_at IS NULL ORDER BY m.organization_id";
    fetch_all!(unit, MembershipRow, text, user).await
}

pub async fn list_members(unit: &mut impl Unit, organization: OrganizationId, page: &Page) -> Result<Listing<MemberRow>, StoreError> {
    let filter = Filter::of("m.organization_id = ?", organization);
    let select = "SELECT u.id, u.email, u.name, m.role, m.switches, m.projects, m.environments, m.services, m.version, m.created_at \
                  FROM memberships m JOIN users u ON u.id = m.user_id";
    fetch_page(unit, select, filter, Order::Oldest("m.created_at"), page).await
}

pub async fn find_member(unit: &mut impl Unit, organization: OrganizationId, user: UserId) -> Result<Option<MemberRow>, StoreError> {
    let text = "SELECT u.id, u.email, u.name, m.role, m.switches, m.projects, m.environments, m.services, m.version, m.created_at \
                FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.organization_id = $1 AND m.user_id = $2";
    fetch_optional!(unit, MemberRow, text, organization, user).await
}

/// Addresses of the owners, for notices.
pub async fn owners(unit: &mut impl Unit, organization: OrganizationId) -> Result<Vec<MemberRow>, StoreError> {
    let text = "SELECT u.id, u.email, u.name, m.role, m.switches, m.projects, m.environments, m.services, m.version, m.created_at \
                FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.organization_id = $1 AND m.role = 'owner' ORDER BY u.id";
    fetch_all!(unit, MemberRow, text, organization).await
}

/// Addresses of the owners and admins, for notices about what runs.
pub async fn admins(unit: &mut impl Unit, organization: OrganizationId) -> Result<Vec<MemberRow>, StoreError> {
    let text = "SELECT u.id, u.email, u.name, m.role, m.switches, m.projects, m.environments, m.services, m.version, m.created_at \
                FROM memberships m JOIN users u ON u.id = m.user_id \
                WHERE m.organization_id = $1 AND m.role IN ('owner', 'admin') ORDER BY u.id";
    fetch_all!(unit, MemberRow, text, organization).await
}

/// # Errors
/// `Conflict` of `memberships_pkey` for somebody who is a member already.
pub async fn insert(write: &mut Write, row: &MembershipRow) -> Result<(), StoreError> {
    let text = "INSERT INTO memberships (organization_id, user_id, role, switches, projects, environments, services, version, created_at, \
                updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8)";
    execute!(
        write,
        text,
        row.organization_id,
        row.user_id,
        row.role,
        &row.switches,
        &row.projects,
        &row.environments,
        &row.services,
        row.created_at
    )
    .await
    .map(|_| ())
}

pub async fn update(
    write: &mut Write,
    organization: OrganizationId,
    user: UserId,
    (role, switches, sight): (Role, &Switches, &Sight),
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let text = "UPDATE memberships SET role = $3, switches = $4, projects = $5, environments = $6, services = $7, updated_at = $8, version = version + 1 \
                WHERE organization_id = $1 AND user_id = $2";
    let Sight { projects, environments, services } = sight.clone();
    let (projects, environments, services) = (projects.map(Json), environments.map(Json), services.map(Json));
    match execute!(write, text, organization, user, role, Json(switches.clone()), projects, environments, services, now).await? {
        0 => Err(StoreError::NotFound { row: "memberships" }),
        _ => Ok(()),
    }
}

pub async fn delete(write: &mut Write, organization: OrganizationId, user: UserId) -> Result<(), StoreError> {
    match execute!(write, "DELETE FROM memberships WHERE organization_id = $1 AND user_id = $2", organization, user).await? {
        0 => Err(StoreError::NotFound { row: "memberships" }),
        _ => Ok(()),
    }
}

/// Removes everybody: the organization is being deleted.
pub async fn delete_all(write: &mut Write, organization: OrganizationId) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM memberships WHERE organization_id = $1", organization).await
}

/// Whether somebody with this address (see [`crate::users::email_key`]) is a member.
pub async fn is_member(unit: &mut impl Unit, organization: OrganizationId, email_key: &str) -> Result<bool, StoreError> {
    let text =
        "SELECT count(*) AS value FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.organization_id = $1 AND u.email_key = $2";
    Ok(fetch_one!(unit, (i64,), text, organization, email_key).await?.0 > 0)
}

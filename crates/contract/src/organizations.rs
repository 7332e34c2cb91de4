//! Organizations, their members and invitations.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::Secret;
use domain::id::{EnvironmentId, InvitationId, OrganizationId, ProjectId, ServiceId, UserId};
use domain::permission::{Permission, Role};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Organization {
    pub id: OrganizationId,
    /// Name in addresses: lower-case letters, digits, `-`.
    pub slug: String,
    pub name: String,
    /// The caller's role in it.
    pub role: Role,
    /// The role that an invitation proposes.
    pub default_role: Role,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateOrganization {
    pub name: String,
    /// Made from the name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeOrganization {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_role: Option<Role>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Member {
    pub user: UserId,
    pub email: String,
    pub name: String,
    pub role: Role,
    /// Rights that differ from the role's; only for the role `member`.
    pub switches: BTreeMap<Permission, bool>,
    /// The only projects that a member or viewer sees; null: all.
    pub projects: Option<BTreeSet<ProjectId>>,
    /// The only environments in them; null: all.
    pub environments: Option<BTreeSet<EnvironmentId>>,
    /// The only services in those; null: all.
    pub services: Option<BTreeSet<ServiceId>>,
    pub joined_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMember {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Takes the place of all switches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switches: Option<BTreeMap<Permission, bool>>,
    /// null: all projects.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub projects: Option<Option<BTreeSet<ProjectId>>>,
    /// null: all in the projects. Their projects are added to `projects`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub environments: Option<Option<BTreeSet<EnvironmentId>>>,
    /// null: all in the environments. Their environments are added to `environments`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub services: Option<Option<BTreeSet<ServiceId>>>,
}

/// Tells `null` from absent.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferOwnership {
    /// A member; becomes owner after accepting, the giver an admin.
    pub user: UserId,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateInvitation {
    pub email: String,
    /// Not above the inviter's own, never `owner`. The organization's default role when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    #[serde(default)]
    pub switches: BTreeMap<Permission, bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<BTreeSet<ProjectId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environments: Option<BTreeSet<EnvironmentId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<BTreeSet<ServiceId>>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    pub id: InvitationId,
    pub email: String,
    pub role: Role,
    pub switches: BTreeMap<Permission, bool>,
    pub projects: Option<BTreeSet<ProjectId>>,
    pub environments: Option<BTreeSet<EnvironmentId>>,
    pub services: Option<BTreeSet<ServiceId>>,
    pub invited_by: UserId,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// The only answer that holds the link; it works for the invited address only.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedInvitation {
    #[serde(flatten)]
    pub invitation: Invitation,
    pub link: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvitation {
    /// From the link.
    pub token: Secret<String>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct OrganizationDeletionQuery {
    /// Also delete its projects with everything in them; refused without it while there are any.
    pub projects: bool,
    /// Also delete volumes with their data.
    pub volumes: bool,
}

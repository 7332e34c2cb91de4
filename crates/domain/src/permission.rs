//! Roles and what they may do: the one table that the API, the use cases and the tests read.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Viewer,
    Member,
    Admin,
    Owner,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Member, Self::Admin, Self::Owner];
}

/// A right within an organization. A token's scope is the same word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Permission {
    #[serde(rename = "organization:read")]
    OrganizationRead,
    #[serde(rename = "organization:write")]
    OrganizationWrite,
    #[serde(rename = "organization:delete")]
    OrganizationDelete,
    #[serde(rename = "members:read")]
    MembersRead,
    #[serde(rename = "members:write")]
    MembersWrite,
    #[serde(rename = "audit:read")]
    AuditRead,
    #[serde(rename = "projects:read")]
    ProjectsRead,
    #[serde(rename = "projects:write")]
    ProjectsWrite,
    #[serde(rename = "projects:delete")]
    ProjectsDelete,
    #[serde(rename = "services:read")]
    ServicesRead,
    #[serde(rename = "services:write")]
    ServicesWrite,
    #[serde(rename = "services:delete")]
    ServicesDelete,
    #[serde(rename = "deployments:write")]
    DeploymentsWrite,
    /// Names of variables.
    #[serde(rename = "variables:read")]
    VariablesRead,
    #[serde(rename = "variables:write")]
    VariablesWrite,
    /// Values of secret variables (never of sealed ones).
    #[serde(rename = "variables:reveal")]
    VariablesReveal,
    #[serde(rename = "logs:read")]
    LogsRead,
    /// One-off commands and terminals.
    #[serde(rename = "exec:write")]
    ExecWrite,
    #[serde(rename = "credentials:read")]
    CredentialsRead,
    #[serde(rename = "credentials:write")]
    CredentialsWrite,
}

impl Permission {
    pub const ALL: [Self; 20] = [
        Self::OrganizationRead,
        Self::OrganizationWrite,
        Self::OrganizationDelete,
        Self::MembersRead,
        Self::MembersWrite,
        Self::AuditRead,
        Self::ProjectsRead,
        Self::ProjectsWrite,
        Self::ProjectsDelete,
        Self::ServicesRead,
        Self::ServicesWrite,
        Self::ServicesDelete,
        Self::DeploymentsWrite,
        Self::VariablesRead,
        Self::VariablesWrite,
        Self::VariablesReveal,
        Self::LogsRead,
        Self::ExecWrite,
        Self::CredentialsRead,
        Self::CredentialsWrite,
    ];

    /// The lowest role that has this right.
    pub fn lowest_role(self) -> Role {
        match self {
            Self::OrganizationRead | Self::MembersRead | Self::ProjectsRead | Self::ServicesRead | Self::VariablesRead | Self::LogsRead => {
                Role::Viewer
            }
            Self::ProjectsWrite
            | Self::ServicesWrite
            | Self::DeploymentsWrite
            | Self::VariablesWrite
            | Self::VariablesReveal
            | Self::ExecWrite
            | Self::CredentialsRead => Role::Member,
            Self::OrganizationWrite
            | Self::MembersWrite
            | Self::AuditRead
            | Self::ProjectsDelete
            | Self::ServicesDelete
            | Self::CredentialsWrite => Role::Admin,
            Self::OrganizationDelete => Role::Owner,
        }
    }
}

impl Role {
    pub fn allows(self, permission: Permission) -> bool {
        self >= permission.lowest_role()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_role_can_do_all_that_a_lower_one_can() {
        for pair in Role::ALL.windows(2) {
            for permission in Permission::ALL {
                assert!(!pair[0].allows(permission) || pair[1].allows(permission));
            }
        }
        assert!(Permission::ALL.iter().all(|permission| Role::Owner.allows(*permission)));
    }
}

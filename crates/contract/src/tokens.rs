//! Personal access tokens and deploy tokens.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::id::{EnvironmentId, OrganizationId, ProjectId, ServiceId, TokenId};
use domain::permission::Permission;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A deploy token is one with the scope `deployments:write` and a service.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    pub name: String,
    pub scopes: BTreeSet<Permission>,
    /// Confines the token; each of these names what it may reach at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// Addresses or networks (CIDR) it may be used from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<String>>,
    /// A budget of its own, besides the limits that everybody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<TokenRate>,
    /// 1 to 365, 90 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_days: Option<u32>,
}

/// At most so many requests within so many seconds; what is used comes back evenly over the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRate {
    /// 1 to 100,000.
    pub requests: u32,
    /// 1 to 86,400.
    pub window_seconds: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    pub id: TokenId,
    pub name: String,
    pub scopes: BTreeSet<Permission>,
    pub organization: Option<OrganizationId>,
    pub project: Option<ProjectId>,
    pub environment: Option<EnvironmentId>,
    pub service: Option<ServiceId>,
    pub addresses: Option<Vec<String>>,
    pub rate: Option<TokenRate>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub last_used_at: Option<DateTime<Utc>>,
}

/// The only answer that ever holds the token's text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    #[serde(flatten)]
    pub token: Token,
    /// `sea_pat_…`: keep it now, it is not shown again.
    pub text: String,
}

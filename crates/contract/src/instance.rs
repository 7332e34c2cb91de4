//! The instance: its first set-up and its settings.

use std::collections::BTreeMap;

use domain::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignUpMode {
    Open,
    Invitation,
    Closed,
}

/// What an operator can switch off for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Terminals into containers.
    Terminal,
    /// One-off commands.
    Commands,
    /// Archives as a source.
    Uploads,
    /// Making access tokens; those that there are go on.
    Tokens,
    /// Making organizations, for others than operators.
    Organizations,
}

impl Feature {
    pub const ALL: [Self; 5] = [Self::Terminal, Self::Commands, Self::Uploads, Self::Tokens, Self::Organizations];
}

impl std::str::FromStr for Feature {
    type Err = serde_json::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_value(serde_json::Value::String(text.to_owned()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeatureState {
    pub on: bool,
    /// The configuration file says so; it cannot be changed here.
    pub fixed: bool,
}

/// What anybody may know.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PublicInstance {
    pub name: String,
    pub version: String,
    pub sign_up: SignUpMode,
    /// Nobody operates the instance yet: open the set-up link from its log.
    pub setup_needed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Instance {
    pub name: String,
    pub sign_up: SignUpMode,
    /// Off until the operator chooses otherwise.
    pub analytics: bool,
    pub limits: InstanceLimits,
    pub features: BTreeMap<Feature, FeatureState>,
    /// Days that entries of the audit logs stay; null: for ever.
    pub audit_days: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstanceLimits {
    /// Organizations that one person may own.
    pub organizations_per_user: u32,
    pub members_per_organization: u32,
}

impl Default for InstanceLimits {
    fn default() -> Self {
        Self { organizations_per_user: 20, members_per_organization: 500 }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeInstance {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_up: Option<SignUpMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analytics: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<InstanceLimits>,
    /// What is absent stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<BTreeMap<Feature, bool>>,
    /// 30 to 3650, or null: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::organizations::present")]
    pub audit_days: Option<Option<u32>>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    /// From the link that the first start prints.
    pub token: Secret<String>,
    pub email: String,
    pub password: Secret<String>,
    pub name: String,
    pub organization_name: String,
    #[serde(default)]
    pub analytics: bool,
}

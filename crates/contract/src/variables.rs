//! Variables and managed files.

use chrono::{DateTime, Utc};
use domain::Secret;
use domain::variables::VariableKind;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Variable {
    pub name: String,
    pub kind: VariableKind,
    /// Of plain variables only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    pub size_bytes: u64,
    pub version: u64,
    /// Slugs of the services that the value refers to.
    pub refers_to: Vec<String>,
    pub updated_by: Option<String>,
    pub updated_at: DateTime<Utc>,
}

/// All variables of one level. The `ETag` guards a replacement.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VariableSet {
    pub data: Vec<Variable>,
    /// The same as in the `ETag`.
    pub version: String,
}

/// A value that comes in; what is shown again depends on the kind.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetVariable {
    pub name: String,
    /// The present kind when absent, `plain` for a new one.
    #[serde(default)]
    pub kind: Option<VariableKind>,
    pub value: Secret<String>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetValue {
    #[serde(default)]
    pub kind: Option<VariableKind>,
    pub value: Secret<String>,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeVariables {
    #[serde(default)]
    pub set: Vec<SetVariable>,
    #[serde(default)]
    pub unset: Vec<String>,
}

/// The whole set: what is not in it is removed. A hidden variable that is named without a value keeps its value.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceVariables {
    pub variables: Vec<KeptVariable>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeptVariable {
    pub name: String,
    #[serde(default)]
    pub kind: Option<VariableKind>,
    #[serde(default)]
    pub value: Option<Secret<String>>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportVariables {
    /// A `.env` text.
    pub text: Secret<String>,
    /// Kind of new variables; `plain` when absent.
    #[serde(default)]
    pub kind: Option<VariableKind>,
    /// Remove variables that the text does not name.
    #[serde(default)]
    pub replace: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// Only tell what would change.
    pub dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deploy: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VariablesChanged {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
    pub unchanged: Vec<String>,
    /// Deployments that the change started.
    pub deployments: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reveal {
    /// Stands in the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RevealedVariable {
    pub name: String,
    pub version: u64,
    pub value: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VariableVersions {
    pub data: Vec<VariableVersion>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VariableVersion {
    pub version: u64,
    pub kind: VariableKind,
    /// Of plain ones only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    pub author: Option<String>,
    pub current: bool,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreVersion {
    pub version: u64,
}

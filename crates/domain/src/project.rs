//! Projects and environments.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The environment that every project has.
pub const DEFAULT_ENVIRONMENT: &str = "production";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentKind {
    Production,
    Staging,
    Development,
    Preview,
}

//! Releases.

use chrono::{DateTime, Utc};
use domain::id::{DeploymentId, ReleaseId, ServiceId};
use domain::service::Configuration;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Release {
    pub id: ReleaseId,
    pub service: ServiceId,
    pub version: u64,
    pub deployment: DeploymentId,
    /// Serves now.
    pub current: bool,
    /// What made it: `Deploy 4f2c9ab`, `Variables changed: A, B`, `Rollback to v3`.
    pub reason: String,
    pub image: String,
    pub image_bytes: u64,
    /// A rollback is possible while the image is kept.
    pub rollback_possible: bool,
    pub revision: String,
    pub commit_subject: Option<String>,
    pub commit_author: Option<String>,
    pub author: Option<String>,
    pub hosts: Vec<String>,
    pub rolled_back_to: Option<u64>,
    /// Its release command changed data in a way that an older release may not understand.
    pub irreversible: bool,
    pub created_at: DateTime<Utc>,
    /// The frozen configuration; only on a single release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Configuration>,
    /// Names of the frozen variables; only on a single release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variable_names: Vec<String>,
    /// What changed against the release before; only on a single release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
}

/// Marks a release.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRelease {
    /// A rollback across an irreversible release is refused unless forced.
    pub irreversible: bool,
}

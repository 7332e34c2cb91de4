//! Deployments.

use chrono::{DateTime, Utc};
use domain::deployment::{Failure, Phase, SkipReason, Step, Trigger};
use domain::id::{DeploymentId, OrganizationId, ReleaseId, ServiceId, UploadId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Asks for a deployment of the service's source.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDeployment {
    /// Branch, tag or commit to build instead of the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// An uploaded archive to build instead of the configured source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadId>,
    /// Build without the cache, this time.
    #[serde(default)]
    pub clean: bool,
    /// Shown in the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// Asks for a rollback.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRollback {
    /// Number of the release to return to; the one before the present when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Go back even across a release whose migration is marked irreversible.
    #[serde(default)]
    pub force: bool,
}

/// Replicas per process type.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// `{"web": 3}`; processes that are not named keep theirs.
    pub processes: std::collections::BTreeMap<String, u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Deployment {
    pub id: DeploymentId,
    pub organization: OrganizationId,
    pub service: ServiceId,
    pub phase: Phase,
    pub trigger: Trigger,
    /// `build`, `release` or `restart`.
    pub work: String,
    pub title: Option<String>,
    pub reference: Option<String>,
    pub commit: Option<String>,
    pub author: Option<String>,
    /// The release that it made or returned to.
    pub release: Option<ReleaseId>,
    pub version: Option<u64>,
    pub failure: Option<Failure>,
    pub skip_reason: Option<SkipReason>,
    pub superseded_by: Option<DeploymentId>,
    pub canceled_by: Option<String>,
    /// Deployments before this one in the service's queue; only while queued.
    pub position: Option<u64>,
    pub healthy_after_ms: Option<u64>,
    pub requests_cut: Option<u64>,
    /// How long requests were held while a single-writer service was handed over.
    pub gap_ms: Option<u64>,
    pub warning: Option<String>,
    /// Where the app answers.
    pub url: Option<String>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// The durable steps with their times; only on a single deployment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<DeploymentStep>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeploymentStep {
    pub step: Step,
    pub phase: Phase,
    /// More than 1 when it was resumed after a crash.
    pub attempt: u64,
    pub started_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub note: Option<String>,
}

/// Filters of the organization's deployments.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeploymentsQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only those that have not ended: what runs and what waits.
    #[serde(default)]
    pub open: bool,
}

/// How long to wait for the end.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// Seconds to wait for the deployment's end, at most 60; the state at that time is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<u32>,
}

/// The deployments that no longer wait.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct QueueCleared {
    pub canceled: Vec<DeploymentId>,
}

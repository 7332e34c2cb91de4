//! Services with their domains, volumes, uploads and staged changes.

use chrono::{DateTime, Utc};
use domain::id::{DeploymentId, DomainId, EnvironmentId, OrganizationId, ProjectId, ReleaseId, ServiceId, TagId, UploadId, VolumeId};
use domain::service::{Configuration, ServiceKind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::page::Sort;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Service {
    pub id: ServiceId,
    pub organization: OrganizationId,
    pub project: ProjectId,
    pub environment: EnvironmentId,
    pub slug: String,
    pub kind: ServiceKind,
    pub name: String,
    pub description: String,
    pub icon: Option<String>,
    /// Unique in the instance: generated host, log folder. Services of the same environment reach each other under the slug.
    pub app_name: String,
    /// Address under the instance's base domain.
    pub url: String,
    pub configuration: Configuration,
    /// Send it as `If-Match` with a change.
    pub version: u64,
    /// Changes wait for the next deployment.
    pub draft: bool,
    pub current_release: Option<ReleaseId>,
    pub stopped: bool,
    pub deleting: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateService {
    pub name: String,
    /// Made of the name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    #[serde(default)]
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// What is absent has its default.
    #[serde(default)]
    pub configuration: Configuration,
}

/// What is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateService {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// An empty text takes the icon away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
    /// A merge patch (RFC 7396) of the configuration: lists are replaced, `null` gives the default back. An object whose
    /// `type` changes is replaced as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub configuration: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveService {
    /// Environment of the same organization.
    pub environment: EnvironmentId,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DuplicateService {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// The service's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    #[serde(default = "yes")]
    pub variables: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DeployQuery {
    /// `false`: keep the change as a draft. Else a service that runs gets a new release at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deploy: Option<bool>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ServicesQuery {
    /// Only services of projects with this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub tag: Option<TagId>,
    /// `created_at` (oldest first; when absent), `-created_at`, `name` or `-updated_at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub sort: Option<Sort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What is done to each of the services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceAction {
    Deploy,
    Restart,
    Start,
    Stop,
    Delete,
    Move,
}

/// One action on many services of an environment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkServices {
    pub action: ServiceAction,
    /// 1 to 100.
    pub services: Vec<ServiceId>,
    /// With `delete`: also delete volumes with their data.
    #[serde(default)]
    pub volumes: bool,
    /// With `move`: the environment to move to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
}

/// What came of it, service by service, in the order of the request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BulkResult {
    pub data: Vec<BulkItem>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BulkItem {
    pub service: ServiceId,
    pub ok: bool,
    /// The deployment that was begun.
    pub deployment: Option<DeploymentId>,
    /// The code of the problem, when it was refused.
    pub code: Option<String>,
    pub detail: Option<String>,
}

/// What differs from the release that serves.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StagedChanges {
    pub draft: bool,
    pub changes: Vec<StagedChange>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StagedChange {
    /// `configuration`, `variable` or `domain`.
    pub kind: String,
    /// JSON pointer or name.
    pub name: String,
    /// `added`, `removed` or `changed`.
    pub change: String,
    /// Values of the configuration; never of variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub before: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub after: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Domain {
    /// Absent for the generated host.
    pub id: Option<DomainId>,
    pub service: ServiceId,
    pub host: String,
    pub url: String,
    pub primary: bool,
    /// Made by Seaway under the base domain; cannot be removed.
    pub generated: bool,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Domains {
    pub data: Vec<Domain>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddDomain {
    /// `www.example.com`; international names are converted.
    pub host: String,
    #[serde(default)]
    pub primary: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Volume {
    pub id: VolumeId,
    pub service: ServiceId,
    pub name: String,
    /// Where the service mounts it.
    pub path: Option<String>,
    pub deleting: bool,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Volumes {
    pub data: Vec<Volume>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateVolume {
    pub name: String,
    /// Mount it there at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    pub id: UploadId,
    pub service: ServiceId,
    /// SHA-256 in hexadecimal.
    pub digest: String,
    /// `zip`, `tar` or `tar_gz`.
    pub format: String,
    pub size_bytes: u64,
    pub created_at: DateTime<Utc>,
}

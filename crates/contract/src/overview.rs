//! The organization at a glance, and search.

use domain::id::{EnvironmentId, OrganizationId, ProjectId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::deployments::Deployment;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    pub projects: u64,
    pub environments: u64,
    pub services: u64,
    pub domains: u64,
    pub credentials: u64,
    /// Deployments that run or wait.
    pub open_deployments: Vec<Deployment>,
    /// The newest ones.
    pub recent_deployments: Vec<Deployment>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// Part of a name or slug, at least one character.
    pub q: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Found {
    /// `project`, `environment` or `service`.
    pub kind: String,
    pub id: String,
    pub slug: String,
    pub name: String,
    pub organization: OrganizationId,
    pub project: Option<ProjectId>,
    pub environment: Option<EnvironmentId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SearchResult {
    pub data: Vec<Found>,
}

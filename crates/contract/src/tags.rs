//! Tags of projects.

use domain::id::{ProjectId, TagId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Tag {
    pub id: TagId,
    pub name: String,
    /// `#rrggbb`.
    pub color: String,
}

/// A new tag, or what an existing one becomes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteTag {
    pub name: String,
    /// `#rrggbb`.
    pub color: String,
}

/// All tags of an organization.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Tags {
    pub data: Vec<Tag>,
}

/// The tags that a project is to have; the others are taken off.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignTags {
    pub tags: Vec<TagId>,
}

/// Tags for many projects at once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkTags {
    pub projects: Vec<ProjectId>,
    /// Put on each of the projects.
    #[serde(default)]
    pub add: Vec<TagId>,
    /// Taken off each of them.
    #[serde(default)]
    pub remove: Vec<TagId>,
}

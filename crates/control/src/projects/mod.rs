//! Projects and organization-wide counters.

mod create;
mod delete;
mod duplicate;
mod read;
mod update;

use contract::projects::Project;
use contract::tags::Tag;
use store::projects::ProjectRow;
use store::tags::ProjectTagRow;

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::named::unsigned;

pub(crate) fn shown(row: ProjectRow, tags: &[ProjectTagRow]) -> Project {
    let tags = tags.iter().filter(|tag| tag.project_id == row.id);
    Project {
        id: row.id,
        organization: row.organization_id,
        slug: row.slug,
        name: row.name,
        description: row.description,
        icon: row.icon,
        tags: tags.map(|tag| Tag { id: tag.id, name: tag.name.clone(), color: tag.color.clone() }).collect(),
        version: unsigned(row.version),
        deleting: row.deleting_at.is_some(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

impl Actor {
    pub(crate) fn project(&self) -> Result<domain::id::ProjectId> {
        self.located.project.ok_or(ControlError::NotFound("project"))
    }

    pub(crate) fn environment(&self) -> Result<domain::id::EnvironmentId> {
        self.located.environment.ok_or(ControlError::NotFound("environment"))
    }

    /// Where stored versions say who wrote them.
    pub(crate) fn written_by(&self) -> (store::audit::ActorKind, Option<String>) {
        match &self.principal.via {
            crate::access::Via::Session { .. } => (store::audit::ActorKind::User, Some(self.principal.user.to_string())),
            crate::access::Via::Token { id, .. } => (store::audit::ActorKind::Token, Some(id.to_string())),
        }
    }
}

//! Which level a request is about: told by what was located.

use domain::id::{Id, OrganizationId};
use store::services::Reach;
use store::variables::ScopeKind;
use uuid::Uuid;

use crate::access::Actor;
use crate::error::{ControlError, Result};

/// One level of variables, or the files of a service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    pub organization: OrganizationId,
    pub kind: ScopeKind,
    pub id: Uuid,
    pub reach: Reach,
    /// The word for audit entries.
    pub word: &'static str,
}

impl Scope {
    /// The level that the actor located: service, else environment, else project.
    pub fn of(actor: &Actor) -> Result<Self> {
        let located = &actor.located;
        let (kind, id, reach, word) = match (located.project, located.environment, located.service) {
            (_, _, Some(service)) => (ScopeKind::Service, service.uuid(), Reach::Service(service), "service"),
            (_, Some(environment), None) => (ScopeKind::Environment, environment.uuid(), Reach::Environment(environment), "environment"),
            (Some(project), None, None) => (ScopeKind::Project, project.uuid(), Reach::Project(project), "project"),
            (None, None, None) => return Err(ControlError::NotFound("project")),
        };
        Ok(Self { organization: actor.organization, kind, id, reach, word })
    }

    /// The managed files of the located service.
    pub fn files(actor: &Actor) -> Result<Self> {
        Ok(Self { kind: ScopeKind::File, ..Self::of(actor)? })
    }

    /// The prefixed id that people see.
    pub fn shown_id(&self) -> String {
        match self.reach {
            Reach::Project(id) => id.to_string(),
            Reach::Environment(id) => id.to_string(),
            Reach::Service(id) => id.to_string(),
        }
    }
}

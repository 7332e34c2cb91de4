//! Who asks, and what they may do: principal → located resource → actor. Every use case takes an [`Actor`] (or a
//! [`Principal`] where no organization is concerned), so none can be called without authorisation.

pub mod cache;

use std::collections::BTreeSet;
use std::net::IpAddr;

use domain::id::{EnvironmentId, OrganizationId, ProjectId, RequestId, ServiceId, SessionId, TokenId, UserId};
use domain::permission::{Permission, Role};

use crate::error::{ControlError, Result};

/// An authenticated person or token.
#[derive(Debug, Clone)]
pub struct Principal {
    pub user: UserId,
    pub email: String,
    pub via: Via,
    /// May change the instance itself.
    pub operator: bool,
}

#[derive(Debug, Clone)]
pub enum Via {
    Session { id: SessionId, /* seconds since the password was last given */ fresh_for_step_up: bool, csrf: String },
    Token { id: TokenId, scopes: BTreeSet<Permission>, restriction: Restriction },
}

/// What a token is confined to.
#[derive(Debug, Clone, Default)]
pub struct Restriction {
    pub organization: Option<OrganizationId>,
    pub project: Option<ProjectId>,
    pub environment: Option<EnvironmentId>,
    pub service: Option<ServiceId>,
}

/// Facts of the request that the audit log keeps.
#[derive(Debug, Clone)]
pub struct Origin {
    pub request: RequestId,
    pub address: Option<IpAddr>,
}

/// A resource found by its id, with everything above it.
#[derive(Debug, Clone)]
pub struct Located {
    pub organization: OrganizationId,
    pub project: Option<ProjectId>,
    pub environment: Option<EnvironmentId>,
    pub service: Option<ServiceId>,
    /// The id of the resource itself.
    pub id: uuid::Uuid,
}

/// A principal inside one organization, about to do one thing.
#[derive(Debug, Clone)]
pub struct Actor {
    pub principal: Principal,
    pub origin: Origin,
    pub organization: OrganizationId,
    pub role: Role,
    pub located: Located,
}

impl Actor {
    /// Effective right = min(token, current role of its owner).
    ///
    /// # Errors
    /// `Forbidden` when the role lacks the right, `ScopeMissing` when the token does.
    pub fn require(&self, permission: Permission) -> Result<()> {
        if !self.role.allows(permission) {
            return Err(ControlError::Forbidden(permission));
        }
        match &self.principal.via {
            Via::Token { scopes, .. } if !scopes.contains(&permission) => Err(ControlError::ScopeMissing(permission)),
            _ => Ok(()),
        }
    }
}

/// The kinds of resources that a path can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Organization,
    Project,
    Environment,
    Service,
    Deployment,
    Release,
    Run,
    Credential,
    Upload,
    Volume,
}

impl Kind {
    /// The word for it in answers.
    pub fn word(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Project => "project",
            Self::Environment => "environment",
            Self::Service => "service",
            Self::Deployment => "deployment",
            Self::Release => "release",
            Self::Run => "run",
            Self::Credential => "credential",
            Self::Upload => "upload",
            Self::Volume => "volume",
        }
    }
}

/// What a request shows to prove who sends it.
pub enum Presented<'a> {
    Bearer(&'a str),
    SessionCookie(&'a str),
}

impl crate::Control {
    /// Finds out who sends a request.
    ///
    /// # Errors
    /// `unauthenticated` for anything that is not a live session or token.
    pub async fn authenticate(&self, _presented: Presented<'_>, _origin: &Origin) -> Result<Principal> {
        Err(ControlError::refused(contract::Code::Unauthenticated, "Sign in, or send `Authorization: Bearer <token>`."))
    }

    /// Locates a resource by id or slug and makes the principal an actor in its organization. A resource that does not exist
    /// and one of an organization that the principal does not belong to are the same `NotFound`.
    pub async fn actor(&self, _principal: &Principal, _origin: &Origin, kind: Kind, _text: &str) -> Result<Actor> {
        Err(ControlError::NotFound(kind.word()))
    }
}

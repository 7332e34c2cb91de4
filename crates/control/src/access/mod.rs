//! Who asks, and what they may do: principal → located resource → actor. Every use case takes an [`Actor`] (or a
//! [`Principal`] where no organization is concerned), so none can be called without authorisation.

pub mod authenticate;
pub mod cache;

mod actor;
mod locate;
mod still;

use std::collections::BTreeSet;
use std::net::IpAddr;

use contract::tokens::TokenRate;
use domain::id::{EnvironmentId, OrganizationId, ProjectId, RequestId, ServiceId, SessionId, TokenId, UserId};
use domain::permission::{Permission, Role};
use ipnet::IpNet;
use store::Sight;
use store::memberships::Switches;

pub use actor::SWITCHABLE;

/// An authenticated person or token.
#[derive(Debug, Clone)]
pub struct Principal {
    pub user: UserId,
    pub email: String,
    pub name: String,
    /// Nothing but the own account is open to an address that is not verified.
    pub email_verified: bool,
    pub via: Via,
    /// May change the instance itself. Never with a token.
    pub operator: bool,
}

#[derive(Debug, Clone)]
pub enum Via {
    Session { id: SessionId, /* seconds since the password was last given */ fresh_for_step_up: bool, csrf: String },
    Token { id: TokenId, scopes: BTreeSet<Permission>, restriction: Restriction, rate: Option<TokenRate> },
}

/// What a token is confined to.
#[derive(Debug, Clone, Default)]
pub struct Restriction {
    pub organization: Option<OrganizationId>,
    pub project: Option<ProjectId>,
    pub environment: Option<EnvironmentId>,
    pub service: Option<ServiceId>,
    /// Networks it may be used from; `None`: any.
    pub addresses: Option<Vec<IpNet>>,
}

impl Restriction {
    /// Whether the token is confined to anything at all.
    pub fn confines(&self) -> bool {
        self.organization.is_some() || self.project.is_some() || self.environment.is_some() || self.service.is_some()
    }
}

/// Facts of the request that the audit log keeps.
#[derive(Debug, Clone)]
pub struct Origin {
    pub request: RequestId,
    pub address: Option<IpAddr>,
    /// Marks every try of one request, where the caller sent a key for it.
    pub delivery: Option<String>,
}

impl Origin {
    /// What a deployment is taken in under, once: the caller's key, else the request itself.
    pub fn delivery(&self) -> String {
        self.delivery.as_ref().map_or_else(|| format!("request/{}", self.request), |delivery| format!("key/{delivery}"))
    }
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
    /// Rights of a member that differ from the role's; see [`SWITCHABLE`].
    pub switches: Switches,
    /// What this member (or token) sees of the organization. Lists filter by it.
    pub sight: Sight,
    pub located: Located,
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

//! A principal becomes an actor in the organization of what it wants to act on.

use std::collections::BTreeSet;

use contract::Code;
use domain::id::OrganizationId;
use domain::permission::{Permission, Role};
use store::Sight;
use store::memberships::{self, MembershipRow, Switches};

use super::{Actor, Kind, Located, Origin, Principal, Restriction, Via, locate};
use crate::Control;
use crate::error::{ControlError, Result};

/// What an owner or admin may switch on or off for one member. Everything else goes by the role alone.
pub const SWITCHABLE: [Permission; 11] = [
    Permission::ProjectsWrite,
    Permission::ProjectsDelete,
    Permission::ServicesWrite,
    Permission::ServicesDelete,
    Permission::DeploymentsWrite,
    Permission::VariablesWrite,
    Permission::VariablesReveal,
    Permission::LogsRead,
    Permission::ExecWrite,
    Permission::CredentialsRead,
    Permission::CredentialsWrite,
];

/// What may be done in a project or environment of which a part is seen: read on, to that part.
const IN_PART: [Permission; 2] = [Permission::ProjectsRead, Permission::ServicesRead];

impl Actor {
    /// Effective right = min(token, current role of its owner).
    ///
    /// # Errors
    /// `Forbidden` when the role lacks the right, `ScopeMissing` when the token does.
    pub fn require(&self, permission: Permission) -> Result<()> {
        if !self.role_allows(permission) || (self.sees_a_part() && !IN_PART.contains(&permission)) {
            return Err(ControlError::Forbidden(permission));
        }
        match &self.principal.via {
            Via::Token { scopes, .. } if !scopes.contains(&permission) => Err(ControlError::ScopeMissing(permission)),
            _ => Ok(()),
        }
    }

    /// Whether role and switches give the right, whatever the token says.
    pub fn role_allows(&self, permission: Permission) -> bool {
        allows(self.role, &self.switches, permission)
    }

    /// Whether the located project or environment holds something that the actor does not see. The way through it is open,
    /// its variables and its deletion concern the others too.
    fn sees_a_part(&self) -> bool {
        match (self.located.project, self.located.environment, self.located.service) {
            (Some(_), None, None) => self.sight.environments.is_some(),
            (Some(_), Some(_), None) => self.sight.services.is_some(),
            _ => false,
        }
    }

    /// # Errors
    /// `Forbidden` when the located project or environment holds something that the actor does not see.
    pub fn require_whole(&self, permission: Permission) -> Result<()> {
        if self.sees_a_part() { Err(ControlError::Forbidden(permission)) } else { Ok(()) }
    }

    /// # Errors
    /// `Forbidden` for those who see a part only: what concerns the whole organization is not theirs.
    pub fn require_all_projects(&self, permission: Permission) -> Result<()> {
        if self.sight.is_all() { Ok(()) } else { Err(ControlError::Forbidden(permission)) }
    }
}

/// What role and switches give.
pub(super) fn allows(role: Role, switches: &Switches, permission: Permission) -> bool {
    match (role, switches.get(&permission)) {
        (Role::Member, Some(switched)) if SWITCHABLE.contains(&permission) => *switched,
        _ => role.allows(permission),
    }
}

impl Principal {
    /// # Errors
    /// `Forbidden`-like refusal for tokens: what guards the account itself needs a person who signs in.
    pub fn require_session(&self) -> Result<domain::id::SessionId> {
        match &self.via {
            Via::Session { id, .. } => Ok(*id),
            Via::Token { .. } => {
                Err(ControlError::refused(Code::Forbidden, "A token cannot do this. Sign in with e-mail address and password."))
            }
        }
    }

    /// # Errors
    /// `email-unverified`.
    pub fn require_verified(&self) -> Result<()> {
        match self.email_verified {
            true => Ok(()),
            false => Err(ControlError::refused(
                Code::EmailUnverified,
                "Verify the e-mail address first: enter the code from the mail, or ask for a new one.",
            )),
        }
    }

    /// For what is not inside an organization: a token needs the scope and must not be confined.
    ///
    /// # Errors
    /// `ScopeMissing`.
    pub fn require_scope(&self, permission: Permission) -> Result<()> {
        match &self.via {
            Via::Token { scopes, restriction, .. } if !scopes.contains(&permission) || restriction.confines() => {
                Err(ControlError::ScopeMissing(permission))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn restriction(&self) -> Option<&Restriction> {
        match &self.via {
            Via::Token { restriction, .. } => Some(restriction),
            Via::Session { .. } => None,
        }
    }
}

impl Control {
    /// Locates a resource by id or slug and makes the principal an actor in its organization. A resource that does not
    /// exist, one of an organization that the principal does not belong to, and one outside of the token's or member's
    /// allowed part are the same `NotFound`.
    ///
    /// # Errors
    /// `NotFound`; `email-unverified`.
    pub async fn actor(&self, principal: &Principal, origin: &Origin, kind: Kind, text: &str) -> Result<Actor> {
        principal.require_verified()?;
        let absent = || ControlError::NotFound(kind.word());
        let located = self.located(kind, text).await?.ok_or_else(absent)?;
        let membership = self.membership(principal, located.organization).await?.ok_or_else(absent)?;
        if !principal.restriction().is_none_or(|restriction| restriction.admits(&located)) {
            return Err(absent());
        }
        let actor = Actor {
            principal: principal.clone(),
            origin: origin.clone(),
            organization: located.organization,
            role: membership.role,
            switches: membership.switches.0.clone(),
            sight: visible(membership.role, membership.sight(), principal.restriction()),
            located,
        };
        // The organization itself and what belongs to all of it is seen by every member.
        let whole = matches!(kind, Kind::Organization | Kind::Credential);
        if sees(&actor.sight, &actor.located, whole) { Ok(actor) } else { Err(absent()) }
    }

    /// Where the resource stands, remembered until the next commit where every commit is seen.
    async fn located(&self, kind: Kind, text: &str) -> Result<Option<Located>> {
        let look = self.places().look(self.clock().now(), self.store().standing());
        let key = (kind, text.to_owned());
        if let Some(known) = self.places().get(&key, &look) {
            return Ok(Some(known));
        }
        let found = locate::locate(&mut self.store().read().await?, kind, text).await?;
        if let Some(found) = found.as_ref().filter(|_| look.sees_every_commit()) {
            self.places().put(key, found.clone(), look);
        }
        Ok(found)
    }

    /// The principal's membership in a living organization, remembered for a moment.
    async fn membership(&self, principal: &Principal, organization: OrganizationId) -> Result<Option<MembershipRow>> {
        let key = (principal.user, organization);
        let look = self.memberships().look(self.clock().now(), self.store().standing());
        if let Some(known) = self.memberships().get(&key, &look) {
            return Ok(Some(known));
        }
        let found = memberships::find(&mut self.store().read().await?, organization, principal.user).await?;
        if let Some(found) = &found {
            self.memberships().put(key, found.clone(), look);
        }
        Ok(found)
    }
}

impl Restriction {
    /// Fails closed: a resource above or beside what the token is confined to is not admitted.
    pub(super) fn admits(&self, located: &Located) -> bool {
        fn within<T: PartialEq>(wanted: Option<&T>, found: Option<&T>) -> bool {
            wanted.is_none() || wanted == found
        }
        within(self.organization.as_ref(), Some(&located.organization))
            && within(self.project.as_ref(), located.project.as_ref())
            && within(self.environment.as_ref(), located.environment.as_ref())
            && within(self.service.as_ref(), located.service.as_ref())
    }
}

/// Admins and owners see all of their organization. A token may narrow it.
pub(super) fn visible(role: Role, sight: Sight, restriction: Option<&Restriction>) -> Sight {
    fn narrowed<T: Ord + Copy>(list: Option<BTreeSet<T>>, only: Option<T>) -> Option<BTreeSet<T>> {
        let Some(only) = only else { return list };
        Some(if list.is_none_or(|list| list.contains(&only)) { BTreeSet::from([only]) } else { BTreeSet::new() })
    }
    let sight = if role >= Role::Admin { Sight::default() } else { sight };
    let Some(restriction) = restriction else { return sight };
    Sight { projects: narrowed(sight.projects, restriction.project), ..sight }
}

/// `whole`: whether what belongs to no project is seen.
pub(super) fn sees(sight: &Sight, located: &Located, whole: bool) -> bool {
    match (located.project, located.environment, located.service) {
        (Some(project), Some(environment), Some(service)) => sight.service(project, environment, service),
        (Some(project), Some(environment), None) => sight.environment(project, environment),
        (Some(project), None, _) => sight.project(project),
        (None, ..) => whole || sight.is_all(),
    }
}

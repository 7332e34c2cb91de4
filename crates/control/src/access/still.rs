//! Authority that is asked again: when a queued job runs, and while a stream or terminal is open.

use domain::id::{ServiceId, TokenId, UserId};
use domain::permission::Permission;
use store::{memberships, sessions, tokens};

use super::actor::{allows, sees, visible};
use super::authenticate::{SESSION_IDLE, restriction_of};
use super::{Actor, Kind, Located, Via};
use crate::Control;
use crate::deployments::Author;
use crate::error::{ControlError, Result};

impl Actor {
    /// The service that the located resource is or belongs to.
    ///
    /// # Errors
    /// `NotFound` when it belongs to none.
    pub fn service(&self) -> Result<ServiceId> {
        self.located.service.ok_or(ControlError::NotFound("service"))
    }

    /// Who stands behind what this actor asks for.
    pub(crate) fn author(&self) -> Author {
        match &self.principal.via {
            Via::Session { .. } => {
                Author { kind: "user", id: Some(self.principal.user.to_string()), name: Some(self.principal.name.clone()) }
            }
            Via::Token { id, .. } => {
                Author { kind: "token", id: Some(id.to_string()), name: Some(format!("{} (token)", self.principal.name)) }
            }
        }
    }
}

impl Control {
    /// Whether whoever asked for something may still have it: a member with the right who sees the project, a living token
    /// of one that is not confined to something else, or Seaway itself. The same rules as [`Control::actor`].
    pub(crate) async fn still_allowed(&self, kind: &str, id: Option<&str>, located: &Located, permission: Permission) -> Result<bool> {
        let mut read = self.store().read().await?;
        let (user, restriction) = match (kind, id) {
            ("system", _) => return Ok(true),
            ("user", Some(id)) => (id.parse::<UserId>().ok(), None),
            ("token", Some(id)) => {
                let Ok(id) = id.parse::<TokenId>() else { return Ok(false) };
                let now = self.clock().now();
                let token =
                    tokens::find(&mut read, id).await?.filter(|token| token.expires_at > now && token.scopes.0.contains(&permission));
                (token.as_ref().map(|token| token.user_id), token.as_ref().map(restriction_of))
            }
            _ => (None, None),
        };
        let Some(user) = user else { return Ok(false) };
        if !restriction.as_ref().is_none_or(|restriction| restriction.admits(located)) {
            return Ok(false);
        }
        let Some(membership) = memberships::find(&mut read, located.organization, user).await? else { return Ok(false) };
        let seen = sees(&visible(membership.role, membership.sight(), restriction.as_ref()), located, false);
        Ok(seen && allows(membership.role, &membership.switches.0, permission))
    }

    /// Asked every few seconds while a stream is open: the session or token lives, and the resource is still the actor's.
    ///
    /// # Errors
    /// `unauthenticated`, `NotFound`, `Forbidden`: the stream has to end.
    pub async fn recheck(&self, actor: &Actor, kind: Kind, permission: Permission) -> Result<()> {
        let ended = || ControlError::refused(contract::Code::Unauthenticated, "The session has ended. Sign in again.");
        let now = self.clock().now();
        let mut read = self.store().read().await?;
        match &actor.principal.via {
            Via::Session { id, .. } => {
                let session = sessions::find(&mut read, *id).await?.ok_or_else(ended)?;
                if now >= session.expires_at || now - session.last_used_at >= SESSION_IDLE {
                    return Err(ended());
                }
            }
            Via::Token { id, .. } => {
                tokens::find(&mut read, *id).await?.filter(|token| token.expires_at > now).ok_or_else(ended)?;
            }
        }
        drop(read);
        let again = self.actor(&actor.principal, &actor.origin, kind, &Self::text_of_id(kind, actor.located.id)).await?;
        again.require(permission)
    }

    fn text_of_id(kind: Kind, id: uuid::Uuid) -> String {
        use domain::id::{DeploymentId, Id, RunId};
        match kind {
            Kind::Deployment => DeploymentId::from_uuid(id).to_string(),
            Kind::Run => RunId::from_uuid(id).to_string(),
            _ => ServiceId::from_uuid(id).to_string(),
        }
    }
}

use contract::accounts::{ChangeMe, Me, MySession, MyToken};
use domain::id::OrganizationId;
use store::{memberships, users};

use super::{shown, valid_name};
use crate::Control;
use crate::access::{Origin, Principal, Via};
use crate::error::{ControlError, Result};

impl Control {
    /// Who asks, and by what right.
    pub async fn read_me(&self, principal: &Principal) -> Result<Me> {
        let user = users::find(&mut self.store().read().await?, principal.user).await?.ok_or(ControlError::NotFound("account"))?;
        let default_organization = user.settings.0.get("default_organization").and_then(|id| id.as_str()?.parse::<OrganizationId>().ok());
        let (session, token) = match &principal.via {
            Via::Session { id, fresh_for_step_up, csrf } => {
                (Some(MySession { id: *id, csrf_token: csrf.clone(), password_is_fresh: *fresh_for_step_up }), None)
            }
            Via::Token { id, scopes, restriction, .. } => {
                let token = MyToken {
                    id: *id,
                    scopes: scopes.clone(),
                    organization: restriction.organization,
                    project: restriction.project,
                    environment: restriction.environment,
                    service: restriction.service,
                };
                (None, Some(token))
            }
        };
        Ok(Me { user: shown(&user), default_organization, session, token })
    }

    /// Changes name and preferences.
    pub async fn change_me(&self, principal: &Principal, origin: &Origin, change: &ChangeMe) -> Result<Me> {
        principal.require_session()?;
        let name = change.name.as_deref().map(|name| valid_name("/name", name)).transpose()?;
        if let Some(organization) = change.default_organization {
            let found = memberships::find(&mut self.store().read().await?, organization, principal.user).await?;
            found.ok_or_else(|| {
                ControlError::invalid("/default_organization", "not-found", "You are not a member of such an organization.")
            })?;
        }
        let mut write = self.store().write().await?;
        let user = users::get_for_update(&mut write, principal.user).await?;
        let mut settings = user.settings.0.clone();
        if let (Some(organization), Some(settings)) = (change.default_organization, settings.as_object_mut()) {
            settings.insert("default_organization".to_owned(), organization.to_string().into());
        }
        users::update_profile(&mut write, user.id, name.as_deref().unwrap_or(&user.name), &settings, self.clock().now()).await?;
        self.forget_access_after(&mut write);
        self.record_own(principal, origin, "account.changed").resource("account", user.id, None).append(&mut write).await?;
        write.commit().await?;
        self.read_me(principal).await
    }
}

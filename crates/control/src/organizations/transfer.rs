//! Handing an organization over: the owner offers, the member accepts; both with a fresh password (the endpoints ask for it).

use ::mail::Template;
use chrono::TimeDelta;
use contract::accounts::Notice;
use contract::organizations::TransferOwnership;
use domain::permission::{Permission, Role};
use store::links::{self, LinkKind};
use store::{Sight, memberships, organizations, users};

use crate::Control;
use crate::access::Actor;
use crate::accounts::gone;
use crate::error::{ControlError, Result};
use crate::mail::Addressee;

const OFFER_LIFE: TimeDelta = TimeDelta::hours(72);

impl Control {
    /// Offers the ownership to a member. A new offer takes the place of an earlier one.
    pub async fn offer_ownership(&self, actor: &Actor, request: &TransferOwnership) -> Result<Notice> {
        actor.require(Permission::OrganizationDelete)?;
        actor.principal.require_session()?;
        let mut read = self.store().read().await?;
        let absent = || ControlError::invalid("/user", "not-found", "There is no such member. Invite the person first.");
        let member = memberships::find_member(&mut read, actor.organization, request.user).await?.ok_or_else(absent)?;
        if member.role == Role::Owner {
            return Err(ControlError::invalid("/user", "owner", "This is the owner already."));
        }
        let user = users::find(&mut read, member.id).await?.ok_or_else(absent)?;
        let organization = organizations::find(&mut read, actor.organization).await?.ok_or(ControlError::NotFound("organization"))?;
        let (mut offer, _) = self.new_link(user.id, LinkKind::TransferOwnership, OFFER_LIFE);
        offer.organization_id = Some(organization.id);
        let template = Template::OwnershipOffered {
            giver: actor.principal.name.clone(),
            organization: organization.name.clone(),
            link: self.link(&format!("organizations/{}/transfer", organization.slug)),
            expires_at: offer.expires_at,
        };
        let letter = self.letter(&Addressee::from(&user), Some(organization.id), &template).await?;
        let mut write = self.store().write().await?;
        links::delete_transfers(&mut write, organization.id).await?;
        links::insert(&mut write, &offer).await?;
        self.post(&mut write, letter).await?;
        self.record(actor, "organization.ownership_offered").resource("member", user.id, None).append(&mut write).await?;
        write.commit().await?;
        Ok(Notice { detail: "The member got a mail. Once accepted, you are an admin.".to_owned() })
    }

    /// Accepts the offer: the actor becomes owner, the owner an admin.
    ///
    /// # Errors
    /// `gone` without an offer that is still good.
    pub async fn accept_ownership(&self, actor: &Actor) -> Result<()> {
        actor.principal.require_session()?;
        let now = self.clock().now();
        let mut write = self.store().write().await?;
        let members = memberships::list_for_update(&mut write, actor.organization).await?;
        let offer = links::find_transfer(&mut write, actor.organization, actor.principal.user).await?;
        let offer = offer.filter(|offer| offer.expires_at > now).ok_or_else(|| gone("offer"))?;
        if !links::consume(&mut write, offer.id).await? {
            return Err(gone("offer"));
        }
        for member in members {
            let role = match (member.user_id == actor.principal.user, member.role) {
                (true, _) => Role::Owner,
                (false, Role::Owner) => Role::Admin,
                (false, _) => continue,
            };
            let sight = if role >= Role::Admin { Sight::default() } else { member.sight() };
            memberships::update(&mut write, actor.organization, member.user_id, (role, &member.switches.0, &sight), now).await?;
        }
        self.forget_access_after(&mut write);
        self.record(actor, "organization.ownership_accepted").resource("member", actor.principal.user, None).append(&mut write).await?;
        write.commit().await?;
        Ok(())
    }
}

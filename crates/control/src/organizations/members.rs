use std::collections::BTreeMap;

use contract::organizations::{ChangeMember, Member};
use contract::page::PageQuery;
use contract::{Code, Page};
use domain::id::UserId;
use domain::permission::{Permission, Role};
use store::memberships::{self, MemberRow};
use store::{Sight, Write, invitations, links, tokens};

use crate::Control;
use crate::access::{Actor, SWITCHABLE};
use crate::error::{ControlError, Result};

fn shown(row: MemberRow) -> Member {
    Member {
        user: row.id,
        email: row.email,
        name: row.name,
        role: row.role,
        switches: row.switches.0,
        projects: row.projects.map(|list| list.0),
        environments: row.environments.map(|list| list.0),
        services: row.services.map(|list| list.0),
        joined_at: row.created_at,
    }
}

/// # Errors
/// `Invalid` at `/switches` for a right that goes by the role alone.
pub(super) fn valid_switches(switches: &BTreeMap<Permission, bool>) -> Result<()> {
    match switches.keys().find(|permission| !SWITCHABLE.contains(permission)) {
        None => Ok(()),
        Some(other) => {
            let word = store::text_of(other).unwrap_or_default();
            Err(ControlError::invalid("/switches", "not-switchable", format!("{word} goes by the role and has no switch.")))
        }
    }
}

fn member_id(text: &str) -> Result<UserId> {
    text.parse().map_err(|_| ControlError::NotFound("member"))
}

impl Actor {
    /// Nobody grants a role above the own one, and nobody makes an owner.
    pub(super) fn require_may_grant(&self, role: Role) -> Result<()> {
        if role == Role::Owner {
            return Err(ControlError::invalid("/role", "owner", "Ownership is handed over by transfer, with the other's consent."));
        }
        if role > self.role {
            return Err(ControlError::invalid("/role", "above-own", "This role is above your own."));
        }
        Ok(())
    }
}

impl Control {
    pub async fn list_members(&self, actor: &Actor, query: &PageQuery) -> Result<Page<Member>> {
        actor.require(Permission::MembersRead)?;
        let list = format!("members of {}", actor.organization);
        let page = self.page_of(&list, query)?;
        let listing = memberships::list_members(&mut self.store().read().await?, actor.organization, &page).await?;
        Ok(self.listed(&list, listing, shown))
    }

    /// Changes a member's role, switches or projects.
    ///
    /// # Errors
    /// `Forbidden` for somebody above the actor, `Invalid` for a role above the actor's own or for the owner.
    pub async fn change_member(&self, actor: &Actor, user: &str, change: &ChangeMember) -> Result<Member> {
        actor.require(Permission::MembersWrite)?;
        let user = member_id(user)?;
        if let Some(role) = change.role {
            actor.require_may_grant(role)?;
        }
        if let Some(switches) = &change.switches {
            valid_switches(switches)?;
        }
        let mut write = self.store().write().await?;
        let members = memberships::list_for_update(&mut write, actor.organization).await?;
        let target = members.into_iter().find(|member| member.user_id == user).ok_or(ControlError::NotFound("member"))?;
        if target.role > actor.role {
            return Err(ControlError::Forbidden(Permission::MembersWrite));
        }
        let sight_before = target.sight();
        if target.role == Role::Owner && change.role.is_some() {
            return Err(ControlError::invalid("/role", "owner", "The owner's role changes by transfer only."));
        }
        let role = change.role.unwrap_or(target.role);
        let switches = change.switches.clone().unwrap_or(target.switches.0);
        let before = sight_before;
        let wanted = Sight {
            projects: change.projects.clone().unwrap_or(before.projects),
            environments: change.environments.clone().unwrap_or(before.environments),
            services: change.services.clone().unwrap_or(before.services),
        };
        let changed = change.projects.is_some() || change.environments.is_some() || change.services.is_some();
        let sight = if changed { super::sight::valid(&mut write, actor.organization, wanted).await? } else { wanted };
        memberships::update(&mut write, actor.organization, user, (role, &switches, &sight), self.clock().now()).await?;
        if role < target.role {
            invitations::delete_of_inviter(&mut write, actor.organization, user).await?;
        }
        self.forget_access_after(&mut write);
        self.record(actor, "member.changed")
            .resource("member", user, None)
            .detail("role_before", target.role)
            .detail("role", role)
            .append(&mut write)
            .await?;
        let row = memberships::find_member(&mut write, actor.organization, user).await?.ok_or(ControlError::NotFound("member"))?;
        write.commit().await?;
        Ok(shown(row))
    }

    /// Removes a member; tokens that are confined to the organization end in the same unit, all others lose it by themselves.
    pub async fn remove_member(&self, actor: &Actor, user: &str) -> Result<()> {
        actor.require(Permission::MembersWrite)?;
        let user = member_id(user)?;
        let mut write = self.store().write().await?;
        let members = memberships::list_for_update(&mut write, actor.organization).await?;
        let target = members.into_iter().find(|member| member.user_id == user).ok_or(ControlError::NotFound("member"))?;
        if target.role > actor.role {
            return Err(ControlError::Forbidden(Permission::MembersWrite));
        }
        self.drop_member(&mut write, actor, user, target.role, "member.removed").await?;
        write.commit().await?;
        Ok(())
    }

    /// The actor leaves the organization.
    pub async fn leave_organization(&self, actor: &Actor) -> Result<()> {
        actor.principal.require_session()?;
        let mut write = self.store().write().await?;
        self.drop_member(&mut write, actor, actor.principal.user, actor.role, "member.left").await?;
        write.commit().await?;
        Ok(())
    }

    async fn drop_member(&self, write: &mut Write, actor: &Actor, user: UserId, role: Role, action: &'static str) -> Result<()> {
        if role == Role::Owner {
            return Err(ControlError::refused(Code::Conflict, "An organization needs its owner. Hand it over or delete it first."));
        }
        memberships::delete(write, actor.organization, user).await?;
        tokens::delete_of_member(write, actor.organization, user).await?;
        invitations::delete_of_inviter(write, actor.organization, user).await?;
        links::delete_transfer_to(write, actor.organization, user).await?;
        self.forget_access_after(write);
        self.record(actor, action).resource("member", user, None).detail("role", role).append(write).await
    }
}

use ::mail::Template;
use chrono::TimeDelta;
use contract::organizations::{AcceptInvitation, CreateInvitation, CreatedInvitation, Invitation, Organization};
use contract::page::PageQuery;
use contract::{Code, Page};
use domain::id::{InvitationId, OrganizationId};
use domain::permission::{Permission, Role};
use store::audit::Chain;
use store::invitations::{self, InvitationRow};
use store::memberships::{self, MembershipRow};
use store::users::email_key;
use store::{Json, Sight, organizations};
use vault::token::OpaqueToken;

use super::members::valid_switches;
use super::{default_role, shown as organization_shown};
use crate::Control;
use crate::access::{Actor, Origin, Principal};
use crate::accounts::{gone, valid_email};
use crate::error::{ControlError, Result};
use crate::mail::Addressee;

const LIFE: TimeDelta = TimeDelta::hours(72);
/// Open invitations of an organization.
const OPEN_MAX: i64 = 200;

fn shown(row: InvitationRow) -> Invitation {
    Invitation {
        id: row.id,
        email: row.email,
        role: row.role,
        switches: row.switches.0,
        projects: row.projects.map(|list| list.0),
        environments: row.environments.map(|list| list.0),
        services: row.services.map(|list| list.0),
        invited_by: row.invited_by,
        created_at: row.created_at,
        expires_at: row.expires_at,
    }
}

impl Control {
    /// Invites an address; an earlier invitation of it stops working. The link is for the inviter to copy, and works for the
    /// invited address only.
    pub async fn create_invitation(&self, actor: &Actor, request: &CreateInvitation) -> Result<CreatedInvitation> {
        actor.require(Permission::MembersWrite)?;
        let email = valid_email(&request.email)?;
        valid_switches(&request.switches)?;
        let mut read = self.store().read().await?;
        let organization = organizations::find(&mut read, actor.organization).await?.ok_or(ControlError::NotFound("organization"))?;
        let role = request.role.unwrap_or_else(|| default_role(&organization.settings.0));
        actor.require_may_grant(role)?;
        let open = invitations::count(&mut read, actor.organization).await?;
        if open >= OPEN_MAX {
            let (current, max) = (u64::try_from(open).unwrap_or(0), u64::try_from(OPEN_MAX).unwrap_or(0));
            return Err(ControlError::Limit { name: "open_invitations", current, max });
        }
        let key = email_key(&email);
        if memberships::is_member(&mut read, actor.organization, &key).await? {
            return Err(ControlError::refused(Code::Conflict, "This person is a member already. Change the role instead."));
        }
        let wanted =
            Sight { projects: request.projects.clone(), environments: request.environments.clone(), services: request.services.clone() };
        let sight = super::sight::valid(&mut read, actor.organization, wanted).await?;
        drop(read);
        let now = self.clock().now();
        let token = OpaqueToken::generate(self.entropy());
        let row = InvitationRow {
            id: InvitationId::new(self.clock(), self.entropy()),
            organization_id: actor.organization,
            email: email.clone(),
            email_key: key,
            role,
            switches: Json(request.switches.clone()),
            projects: sight.projects.map(Json),
            environments: sight.environments.map(Json),
            services: sight.services.map(Json),
            digest: token.digest.as_bytes().to_vec(),
            invited_by: actor.principal.user,
            created_at: now,
            expires_at: now + LIFE,
        };
        let link = self.link(&format!("invitation#token={}", token.text.reveal()));
        let template = Template::Invitation {
            inviter: actor.principal.name.clone(),
            organization: organization.name.clone(),
            role: store::text_of(&role).unwrap_or_default(),
            link: link.clone(),
            expires_at: row.expires_at,
        };
        let letter = self.letter(&Addressee { user: None, email, name: None }, Some(actor.organization), &template).await?;
        let mut write = self.store().write().await?;
        invitations::replace(&mut write, &row).await?;
        self.post(&mut write, letter).await?;
        self.record(actor, "invitation.created").resource("invitation", row.id, None).detail("role", role).append(&mut write).await?;
        write.commit().await?;
        Ok(CreatedInvitation { invitation: shown(row), link })
    }

    /// Open invitations; for those who may invite.
    pub async fn list_invitations(&self, actor: &Actor, query: &PageQuery) -> Result<Page<Invitation>> {
        actor.require(Permission::MembersWrite)?;
        let list = format!("invitations of {}", actor.organization);
        let page = self.page_of(&list, query)?;
        let listing = invitations::list(&mut self.store().read().await?, actor.organization, &page).await?;
        Ok(self.listed(&list, listing, shown))
    }

    pub async fn revoke_invitation(&self, actor: &Actor, text: &str) -> Result<()> {
        actor.require(Permission::MembersWrite)?;
        let absent = || ControlError::NotFound("invitation");
        let id: InvitationId = text.parse().map_err(|_| absent())?;
        let mut write = self.store().write().await?;
        match invitations::delete(&mut write, actor.organization, id).await {
            Err(store::StoreError::NotFound { .. }) => return Err(absent()),
            other => other?,
        }
        self.record(actor, "invitation.revoked").resource("invitation", id, None).append(&mut write).await?;
        write.commit().await?;
        Ok(())
    }

    /// Accepts an invitation to the principal's verified address.
    ///
    /// # Errors
    /// `gone` for a token that is wrong, used, expired or for another address.
    pub async fn accept_invitation(&self, principal: &Principal, origin: &Origin, request: &AcceptInvitation) -> Result<Organization> {
        principal.require_session()?;
        principal.require_verified()?;
        let digest = OpaqueToken::digest_of(request.token.reveal()).ok_or_else(|| gone("invitation"))?;
        let limits = self.instance_limits().await?;
        let now = self.clock().now();
        let mut write = self.store().write().await?;
        let row = invitations::find_by_digest(&mut write, digest.as_bytes()).await?.ok_or_else(|| gone("invitation"))?;
        if row.expires_at <= now || row.email_key != email_key(&principal.email) {
            return Err(gone("invitation"));
        }
        let members = memberships::list_for_update(&mut write, row.organization_id).await?;
        // Who invited must still be allowed to.
        let inviter = members.iter().find(|member| member.user_id == row.invited_by);
        if inviter.is_none_or(|inviter| inviter.role < row.role || inviter.role < Role::Admin) {
            return Err(gone("invitation"));
        }
        if members.iter().any(|member| member.user_id == principal.user) {
            return Err(ControlError::refused(Code::Conflict, "You are a member of this organization already."));
        }
        let max = u64::from(limits.members_per_organization);
        let current = u64::try_from(members.len()).unwrap_or(u64::MAX);
        if current >= max {
            return Err(ControlError::Limit { name: "members_per_organization", current, max });
        }
        let membership = MembershipRow {
            organization_id: row.organization_id,
            user_id: principal.user,
            role: row.role,
            switches: row.switches.clone(),
            projects: row.projects.clone(),
            environments: row.environments.clone(),
            services: row.services.clone(),
            version: 1,
            created_at: now,
            updated_at: now,
        };
        memberships::insert(&mut write, &membership).await?;
        invitations::delete(&mut write, row.organization_id, row.id).await?;
        self.forget_access_after(&mut write);
        let organization: OrganizationId = row.organization_id;
        self.record_in(Chain::Organization(organization), principal, origin, "invitation.accepted")
            .resource("member", principal.user, None)
            .detail("role", row.role)
            .append(&mut write)
            .await?;
        let found = organizations::find(&mut write, organization).await?.ok_or_else(|| gone("invitation"))?;
        write.commit().await?;
        Ok(organization_shown(found, row.role))
    }
}

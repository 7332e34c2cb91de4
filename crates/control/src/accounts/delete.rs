use contract::Code;
use domain::permission::Role;
use store::links::{self, LinkKind};
use store::{invitations, memberships, sessions, tokens, users};

use crate::Control;
use crate::access::{Origin, Principal};
use crate::error::{ControlError, Result};

impl Control {
    /// Deletes the principal's account: personal columns are emptied, sessions and tokens end.
    ///
    /// # Errors
    /// `conflict` while the person owns an organization or is the only operator.
    pub async fn delete_me(&self, principal: &Principal, origin: &Origin) -> Result<()> {
        principal.require_session()?;
        let mut write = self.store().write().await?;
        write.exclusive("operators").await?;
        let user = users::get_for_update(&mut write, principal.user).await?;
        let own = memberships::list_of_user(&mut write, user.id).await?;
        let owned = own.iter().filter(|membership| membership.role == Role::Owner).count();
        if owned > 0 {
            let detail = format!("You own {owned} organization(s). Delete them or hand them over first, then delete the account.");
            return Err(ControlError::refused(Code::Conflict, detail));
        }
        if user.operator && users::count_operators(&mut write).await? <= 1 {
            return Err(ControlError::refused(Code::Conflict, "You are the only operator of this instance: it would have none."));
        }
        for membership in own {
            memberships::delete(&mut write, membership.organization_id, user.id).await?;
            invitations::delete_of_inviter(&mut write, membership.organization_id, user.id).await?;
        }
        sessions::delete_others(&mut write, user.id, None).await?;
        tokens::delete_of_user(&mut write, user.id).await?;
        for kind in [
            LinkKind::VerifyEmail,
            LinkKind::ResetPassword,
            LinkKind::ChangeEmail,
            LinkKind::CancelEmailChange,
            LinkKind::TransferOwnership,
        ] {
            links::delete_of_user(&mut write, user.id, kind).await?;
        }
        users::erase(&mut write, user.id, self.clock().now()).await?;
        self.forget_access_after(&mut write);
        self.record_own(principal, origin, "account.deleted").resource("account", user.id, None).append(&mut write).await?;
        write.commit().await?;
        Ok(())
    }
}

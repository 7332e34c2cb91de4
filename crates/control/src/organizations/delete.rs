use contract::Code;
use domain::permission::Permission;
use store::{invitations, links, memberships, organizations, tokens};

use crate::Control;
use crate::access::Actor;
use crate::error::{ControlError, Result};

impl Control {
    /// Deletes the organization: from the commit on nobody reaches it, its tokens and invitations are gone.
    pub async fn delete_organization(&self, actor: &Actor) -> Result<()> {
        actor.require(Permission::OrganizationDelete)?;
        let mut write = self.store().write().await?;
        let row = organizations::get_for_update(&mut write, actor.organization).await?;
        let left = store::projects::count(&mut write, row.id, &store::Sight::default()).await?;
        if left > 0 {
            return Err(ControlError::refused(
                Code::Conflict,
                format!("The organization has {left} projects. Delete them first; what runs in them is taken away with them."),
            ));
        }
        tokens::delete_of_organization(&mut write, row.id).await?;
        invitations::delete_of_organization(&mut write, row.id).await?;
        links::delete_transfers(&mut write, row.id).await?;
        memberships::delete_all(&mut write, row.id).await?;
        organizations::delete(&mut write, row.id, self.clock().now()).await?;
        self.forget_access_after(&mut write);
        self.record(actor, "organization.deleted").resource("organization", row.id, Some(&row.name)).append(&mut write).await?;
        write.commit().await?;
        Ok(())
    }
}

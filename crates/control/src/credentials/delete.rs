use contract::Code;
use domain::id::{CredentialId, Id};
use domain::permission::Permission;

use super::uses;
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Deletes a credential that no service uses.
    ///
    /// # Errors
    /// `conflict` that names the services which use it.
    pub async fn delete_credential(&self, actor: &Actor) -> Result<()> {
        actor.require(Permission::CredentialsWrite)?;
        actor.require_all_projects(Permission::CredentialsWrite)?;
        let id = CredentialId::from_uuid(actor.located.id);
        let mut write = self.store().write().await?;
        let row = store::credentials::find(&mut write, actor.organization, id).await?.ok_or(ControlError::NotFound("credential"))?;
        let services = store::services::all_of_organization(&mut write, actor.organization).await?;
        let users: Vec<String> = services.iter().filter(|service| uses(service, id)).map(|service| service.slug.clone()).collect();
        if !users.is_empty() {
            return Err(ControlError::refused(
                Code::Conflict,
                format!("The credential is used by {}. Give these services another one first.", users.join(", ")),
            ));
        }
        store::credentials::delete(&mut write, actor.organization, id).await?;
        self.record(actor, "credential.deleted").resource("credential", id, Some(&row.name)).append(&mut write).await?;
        write.commit().await?;
        Ok(())
    }
}

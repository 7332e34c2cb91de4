use contract::Page;
use contract::credentials::Credential;
use contract::page::PageQuery;
use domain::id::{CredentialId, Id};
use domain::permission::Permission;

use super::{shown, uses};
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// The credentials of the organization; never their values.
    pub async fn list_credentials(&self, actor: &Actor, query: &PageQuery) -> Result<Page<Credential>> {
        actor.require(Permission::CredentialsRead)?;
        let list = format!("credentials/{}", actor.organization);
        let page = self.page_of(&list, query)?;
        let listing = store::credentials::list(&mut self.store().read().await?, actor.organization, None, &page).await?;
        Ok(self.listed(&list, listing, |row| shown(row, Vec::new())))
    }

    /// One credential with the services that use it.
    pub async fn read_credential(&self, actor: &Actor) -> Result<Credential> {
        actor.require(Permission::CredentialsRead)?;
        let id = CredentialId::from_uuid(actor.located.id);
        let mut read = self.store().read().await?;
        let row = store::credentials::find(&mut read, actor.organization, id).await?.ok_or(ControlError::NotFound("credential"))?;
        let services = store::services::all_of_organization(&mut read, actor.organization).await?;
        let used_by = services
            .iter()
            .filter(|service| uses(service, id) && actor.sight.service(service.project_id, service.environment_id, service.id))
            .map(|service| service.id)
            .collect();
        Ok(shown(row, used_by))
    }
}

use contract::Page;
use contract::page::PageQuery;
use contract::uploads::Upload;
use domain::permission::Permission;

use super::shown;
use crate::access::Actor;
use crate::error::Result;
use crate::state::Control;

impl Control {
    /// The uploads of a service, newest first.
    pub async fn list_uploads(&self, actor: &Actor, query: &PageQuery) -> Result<Page<Upload>> {
        actor.require(Permission::ServicesRead)?;
        let service = actor.service()?;
        let list = format!("uploads/{service}");
        let page = self.page_of(&list, query)?;
        let listing = store::uploads::list(&mut self.store().read().await?, actor.organization, service, &page).await?;
        Ok(self.listed(&list, listing, shown))
    }
}

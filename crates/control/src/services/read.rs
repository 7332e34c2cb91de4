use contract::Page;
use contract::page::PageQuery;
use contract::services::{Service, ServicesQuery};
use domain::permission::Permission;
use store::NamedOrder;
use store::services::{self, ServiceFilter};

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Services of the environment, or of the whole organization; oldest first.
    pub async fn list_services(&self, actor: &Actor, query: &ServicesQuery) -> Result<Page<Service>> {
        actor.require(Permission::ServicesRead)?;
        let filter = ServiceFilter {
            project: actor.located.project,
            environment: actor.located.environment,
            tag: query.tag,
            sight: actor.sight.clone(),
            order: crate::page::order_of(query.sort, NamedOrder::Oldest),
        };
        let list = format!("services/{}/{filter:?}", actor.organization);
        let page = self.page_of(&list, &PageQuery { limit: query.limit, cursor: query.cursor.clone() })?;
        let listing = services::list(&mut self.store().read().await?, actor.organization, &filter, &page).await?;
        Ok(self.listed(&list, listing, |row| self.shown_service(row)))
    }

    pub async fn read_service(&self, actor: &Actor) -> Result<Service> {
        actor.require(Permission::ServicesRead)?;
        let row = services::find(&mut self.store().read().await?, actor.organization, actor.service()?).await?;
        row.map(|row| self.shown_service(row)).ok_or(ControlError::NotFound("service"))
    }
}

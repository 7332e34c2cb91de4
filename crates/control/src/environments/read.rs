use contract::Page;
use contract::page::{NamedQuery, PageQuery};
use contract::projects::Environment;
use domain::permission::Permission;
use store::{NamedOrder, environments};

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Environments of the project, oldest first: `production` is the first.
    pub async fn list_environments(&self, actor: &Actor, query: &NamedQuery) -> Result<Page<Environment>> {
        actor.require(Permission::ProjectsRead)?;
        let project = actor.project()?;
        let order = crate::page::order_of(query.sort, NamedOrder::Oldest);
        let list = format!("environments/{project}/{order:?}/{:?}", actor.sight);
        let page = self.page_of(&list, &PageQuery { limit: query.limit, cursor: query.cursor.clone() })?;
        let mut read = self.store().read().await?;
        let listing = environments::list(&mut read, actor.organization, project, &actor.sight, order, &page).await?;
        Ok(self.listed(&list, listing, super::shown))
    }

    pub async fn read_environment(&self, actor: &Actor) -> Result<Environment> {
        actor.require(Permission::ProjectsRead)?;
        let row = environments::find(&mut self.store().read().await?, actor.organization, actor.environment()?).await?;
        row.map(super::shown).ok_or(ControlError::NotFound("environment"))
    }
}

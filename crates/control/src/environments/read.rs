use contract::Page;
use contract::page::PageQuery;
use contract::projects::Environment;
use domain::permission::Permission;
use store::environments;

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Environments of the project, oldest first: `production` is the first.
    pub async fn list_environments(&self, actor: &Actor, query: &PageQuery) -> Result<Page<Environment>> {
        actor.require(Permission::ProjectsRead)?;
        let project = actor.project()?;
        let list = format!("environments/{project}");
        let page = self.page_of(&list, query)?;
        let listing = environments::list(&mut self.store().read().await?, actor.organization, project, &page).await?;
        Ok(self.listed(&list, listing, super::shown))
    }

    pub async fn read_environment(&self, actor: &Actor) -> Result<Environment> {
        actor.require(Permission::ProjectsRead)?;
        let row = environments::find(&mut self.store().read().await?, actor.organization, actor.environment()?).await?;
        row.map(super::shown).ok_or(ControlError::NotFound("environment"))
    }
}

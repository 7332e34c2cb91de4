use contract::Page;
use contract::page::PageQuery;
use contract::projects::{Project, ProjectsQuery};
use domain::permission::Permission;
use store::NamedOrder;
use store::projects::ProjectFilter;
use store::{projects, tags};

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Projects of the organization that the actor sees, newest first.
    pub async fn list_projects(&self, actor: &Actor, query: &ProjectsQuery) -> Result<Page<Project>> {
        actor.require(Permission::ProjectsRead)?;
        let order = crate::page::order_of(query.sort, NamedOrder::Newest);
        let list = format!("projects/{}/{:?}/{order:?}", actor.organization, query.tag);
        let page = self.page_of(&list, &PageQuery { limit: query.limit, cursor: query.cursor.clone() })?;
        let mut read = self.store().read().await?;
        let filter = ProjectFilter { tag: query.tag, sight: actor.sight.clone(), order };
        let listing = projects::list(&mut read, actor.organization, &filter, &page).await?;
        let tags = tags::of_projects(&mut read, actor.organization).await?;
        Ok(self.listed(&list, listing, |row| super::shown(row, &tags)))
    }

    pub async fn read_project(&self, actor: &Actor) -> Result<Project> {
        actor.require(Permission::ProjectsRead)?;
        let mut read = self.store().read().await?;
        let row = projects::find(&mut read, actor.organization, actor.project()?).await?.ok_or(ControlError::NotFound("project"))?;
        let tags = tags::of_project(&mut read, actor.organization, row.id).await?;
        Ok(super::shown(row, &tags))
    }
}

use contract::Page;
use contract::page::PageQuery;
use contract::projects::{Project, ProjectsQuery};
use domain::permission::Permission;
use store::projects::ProjectFilter;
use store::{projects, tags};

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Projects of the organization that the actor sees, newest first.
    pub async fn list_projects(&self, actor: &Actor, query: &ProjectsQuery) -> Result<Page<Project>> {
        actor.require(Permission::ProjectsRead)?;
        let list = format!("projects/{}/{:?}", actor.organization, query.tag);
        let page = self.page_of(&list, &PageQuery { limit: query.limit, cursor: query.cursor.clone() })?;
        let mut read = self.store().read().await?;
        let mut listing = projects::list(&mut read, actor.organization, &ProjectFilter { tag: query.tag }, &page).await?;
        // A page may be shorter for those who see some projects only; the cursor goes on all the same.
        listing.rows.retain(|row| actor.sees_project(row.id));
        let tags = tags::of_projects(&mut read, actor.organization).await?;
        Ok(self.listed(&list, listing, |row| super::shown(row, &tags)))
    }

    pub async fn read_project(&self, actor: &Actor) -> Result<Project> {
        actor.require(Permission::ProjectsRead)?;
        let mut read = self.store().read().await?;
        let row = projects::find(&mut read, actor.organization, actor.project()?).await?.ok_or(ControlError::NotFound("project"))?;
        let tags = tags::of_projects(&mut read, actor.organization).await?;
        Ok(super::shown(row, &tags))
    }
}

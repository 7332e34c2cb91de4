use contract::projects::DeletionPlan;
use domain::permission::Permission;
use store::{environments, projects};

use crate::access::Actor;
use crate::error::Result;
use crate::state::Control;

impl Control {
    /// What the deletion of the project would take away.
    pub async fn plan_project_deletion(&self, actor: &Actor) -> Result<DeletionPlan> {
        actor.require(Permission::ProjectsRead)?;
        actor.require_whole(Permission::ProjectsRead)?;
        let mut read = self.store().read().await?;
        let environments = environments::all_of_project(&mut read, actor.organization, actor.project()?).await?;
        let mut plan = DeletionPlan::default();
        for environment in &environments {
            self.plan_environment(&mut read, environment, &mut plan).await?;
        }
        Ok(plan)
    }

    /// Marks the project with everything in it as deleting; jobs stop what runs and remove it, then the rows.
    pub async fn delete_project(&self, actor: &Actor, volumes: bool) -> Result<DeletionPlan> {
        actor.require(Permission::ProjectsDelete)?;
        let project = actor.project()?;
        let plan = self.plan_project_deletion(actor).await?;
        let mut write = self.store().write().await?;
        let row = projects::find(&mut write, actor.organization, project).await?.ok_or(crate::ControlError::NotFound("project"))?;
        projects::mark_deleting(&mut write, actor.organization, project, self.clock().now()).await?;
        for environment in environments::all_of_project(&mut write, actor.organization, project).await? {
            self.mark_environment(&mut write, &environment, volumes).await?;
        }
        self.record(actor, "project.deleted")
            .resource("project", project, Some(&row.name))
            .detail("volumes", volumes)
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(plan)
    }
}

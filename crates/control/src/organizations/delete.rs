use contract::Code;
use contract::organizations::OrganizationDeletionQuery;
use contract::projects::DeletionPlan;
use domain::permission::Permission;
use store::{environments, invitations, links, memberships, organizations, projects, tokens};

use crate::Control;
use crate::access::Actor;
use crate::error::{ControlError, Result};

impl Control {
    /// What the deletion of the organization would take away.
    pub async fn plan_organization_deletion(&self, actor: &Actor) -> Result<DeletionPlan> {
        actor.require(Permission::OrganizationDelete)?;
        let mut read = self.store().read().await?;
        let mut plan = DeletionPlan::default();
        for project in projects::all(&mut read, actor.organization).await? {
            plan.projects.push(project.name);
            for environment in environments::all_of_project(&mut read, actor.organization, project.id).await? {
                self.plan_environment(&mut read, &environment, &mut plan).await?;
            }
        }
        Ok(plan)
    }

    /// Deletes the organization: from the commit on nobody reaches it, its tokens and invitations are gone. Its projects, if that
    /// is wanted too, are stopped and removed by jobs.
    pub async fn delete_organization(&self, actor: &Actor, query: OrganizationDeletionQuery) -> Result<()> {
        actor.require(Permission::OrganizationDelete)?;
        let mut write = self.store().write().await?;
        let row = organizations::get_for_update(&mut write, actor.organization).await?;
        let left = store::projects::count(&mut write, row.id, &store::Sight::default()).await?;
        if left > 0 && !query.projects {
            return Err(ControlError::refused(
                Code::Conflict,
                format!("The organization has {left} projects. Look at its deletion plan, then delete it with `projects=true`."),
            ));
        }
        for project in projects::all(&mut write, row.id).await? {
            projects::mark_deleting(&mut write, row.id, project.id, self.clock().now()).await?;
            for environment in environments::all_of_project(&mut write, row.id, project.id).await? {
                self.mark_environment(&mut write, &environment, query.volumes).await?;
            }
        }
        tokens::delete_of_organization(&mut write, row.id).await?;
        invitations::delete_of_organization(&mut write, row.id).await?;
        links::delete_transfers(&mut write, row.id).await?;
        memberships::delete_all(&mut write, row.id).await?;
        organizations::delete(&mut write, row.id, self.clock().now()).await?;
        self.forget_access_after(&mut write);
        self.record(actor, "organization.deleted")
            .resource("organization", row.id, Some(&row.name))
            .detail("projects", left)
            .detail("volumes", query.volumes)
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(())
    }
}

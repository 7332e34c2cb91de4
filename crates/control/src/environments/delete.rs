use contract::Code;
use contract::projects::DeletionPlan;
use domain::id::Id;
use domain::permission::Permission;
use store::environments::EnvironmentRow;
use store::variables::ScopeKind;
use store::{Unit, Write, environments, services, variables};

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::named::unsigned;
use crate::state::Control;

impl Control {
    /// What the deletion of the environment would take away.
    pub async fn plan_environment_deletion(&self, actor: &Actor) -> Result<DeletionPlan> {
        actor.require(Permission::ProjectsRead)?;
        actor.require_whole(Permission::ProjectsRead)?;
        let mut read = self.store().read().await?;
        let row =
            environments::find(&mut read, actor.organization, actor.environment()?).await?.ok_or(ControlError::NotFound("environment"))?;
        let mut plan = DeletionPlan::default();
        self.plan_environment(&mut read, &row, &mut plan).await?;
        Ok(plan)
    }

    /// Marks the environment with its services as deleting; jobs do the rest.
    ///
    /// # Errors
    /// `conflict` for the environment that every project has.
    pub async fn delete_environment(&self, actor: &Actor, volumes: bool) -> Result<DeletionPlan> {
        actor.require(Permission::ProjectsDelete)?;
        let plan = self.plan_environment_deletion(actor).await?;
        let mut write = self.store().write().await?;
        let row =
            environments::find(&mut write, actor.organization, actor.environment()?).await?.ok_or(ControlError::NotFound("environment"))?;
        if row.is_default {
            return Err(ControlError::refused(
                Code::Conflict,
                "Every project has this environment. Delete its services, or the whole project.",
            ));
        }
        self.mark_environment(&mut write, &row, volumes).await?;
        self.record(actor, "environment.deleted")
            .resource("environment", row.id, Some(&row.name))
            .detail("volumes", volumes)
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(plan)
    }

    pub(crate) async fn plan_environment(&self, unit: &mut impl Unit, row: &EnvironmentRow, plan: &mut DeletionPlan) -> Result<()> {
        plan.environments.push(row.name.clone());
        plan.variables += unsigned(variables::count(unit, row.organization_id, ScopeKind::Environment, row.id.uuid()).await?);
        for service in services::all_of_environment(unit, row.organization_id, row.id).await? {
            self.plan_service(unit, &service, plan).await?;
        }
        Ok(())
    }

    pub(crate) async fn mark_environment(&self, write: &mut Write, row: &EnvironmentRow, volumes: bool) -> Result<()> {
        environments::mark_deleting(write, row.organization_id, row.id, self.clock().now()).await?;
        for service in services::all_of_environment(write, row.organization_id, row.id).await? {
            self.mark_service(write, &service, volumes).await?;
        }
        self.enqueue_environment_teardown(write, row.organization_id, row.id).await
    }
}

use contract::projects::DeletionPlan;
use domain::id::Id;
use domain::permission::Permission;
use store::services::ServiceRow;
use store::variables::ScopeKind;
use store::{Unit, Write, domains, services, uploads, variables, volumes};

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::named::unsigned;
use crate::state::Control;

impl Control {
    /// What the deletion of the service would take away.
    pub async fn plan_service_deletion(&self, actor: &Actor) -> Result<DeletionPlan> {
        actor.require(Permission::ServicesRead)?;
        let mut read = self.store().read().await?;
        let row = services::find(&mut read, actor.organization, actor.service()?).await?.ok_or(ControlError::NotFound("service"))?;
        let mut plan = DeletionPlan::default();
        self.plan_service(&mut read, &row, &mut plan).await?;
        Ok(plan)
    }

    /// Marks the service as deleting; a job stops and removes what runs, then the rows. Volumes only with a separate yes.
    pub async fn delete_service(&self, actor: &Actor, volumes: bool) -> Result<DeletionPlan> {
        actor.require(Permission::ServicesDelete)?;
        let plan = self.plan_service_deletion(actor).await?;
        let mut write = self.store().write().await?;
        let row = services::get_locked(&mut write, actor.organization, actor.service()?).await?;
        self.mark_service(&mut write, &row, volumes).await?;
        self.record(actor, "service.deleted")
            .resource("service", row.id, Some(&row.name))
            .detail("volumes", volumes)
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(plan)
    }

    pub(crate) async fn plan_service(&self, unit: &mut impl Unit, row: &ServiceRow, plan: &mut DeletionPlan) -> Result<()> {
        plan.services.push(row.name.clone());
        let own = domains::all_of_service(unit, row.organization_id, row.id).await?;
        plan.domains.extend(own.into_iter().map(|domain| domain.host));
        plan.variables += unsigned(variables::count(unit, row.organization_id, ScopeKind::Service, row.id.uuid()).await?);
        plan.uploads += uploads::all_of_service(unit, row.organization_id, row.id).await?.len() as u64;
        let all = volumes::all_of_service(unit, row.organization_id, row.id).await?;
        plan.volumes.extend(all.into_iter().map(|volume| format!("{}/{}", row.name, volume.name)));
        Ok(())
    }

    pub(crate) async fn mark_service(&self, write: &mut Write, row: &ServiceRow, with_volumes: bool) -> Result<()> {
        services::mark_deleting(write, row.organization_id, row.id, self.clock().now()).await?;
        let all = volumes::all_of_service(write, row.organization_id, row.id).await?;
        let ids = if with_volumes { all.into_iter().map(|volume| volume.id).collect() } else { Vec::new() };
        let files: Vec<_> = uploads::all_of_service(write, row.organization_id, row.id)
            .await?
            .into_iter()
            .map(|upload| self.upload_path(upload.id))
            .collect();
        write.after_commit(move || {
            for file in files {
                if let Err(error) = std::fs::remove_file(&file) {
                    tracing::warn!(%error, "an upload of a deleted service could not be removed");
                }
            }
        });
        self.enqueue_teardown(write, row.organization_id, row.id, ids).await
    }
}

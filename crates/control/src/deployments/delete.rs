use contract::Code;
use contract::deployments::QueueCleared;
use deployer::protocol::LogStream;
use domain::deployment::Phase;
use domain::id::{DeploymentId, Id};
use domain::permission::Permission;
use store::deployments::End;

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Deletes the record and the log of a deployment that has ended. Its release stays.
    ///
    /// # Errors
    /// `conflict` while it runs.
    pub async fn delete_deployment(&self, actor: &Actor) -> Result<()> {
        actor.require(Permission::DeploymentsWrite)?;
        let id = DeploymentId::from_uuid(actor.located.id);
        let mut write = self.store().write().await?;
        let row = store::deployments::find(&mut write, actor.organization, id).await?.ok_or(ControlError::NotFound("deployment"))?;
        if row.finished_at.is_none() {
            return Err(ControlError::refused(Code::Conflict, "The deployment has not ended. Cancel it first."));
        }
        store::deployments::delete(&mut write, actor.organization, id).await?;
        self.record(actor, "deployment.deleted").resource("deployment", id, None).append(&mut write).await?;
        write.commit().await?;
        // The row is gone and cannot be deleted again: what is left of the log goes with the logs' retention.
        if let Err(failure) = self.server().purge_logs(Some(LogStream::Deployment(id)), self.clock().now()).await {
            tracing::warn!(deployment = %id, error = %failure, "the log of a deleted deployment is still there");
        }
        Ok(())
    }

    /// Cancels every deployment of the service that waits; what runs goes on.
    pub async fn clear_queue(&self, actor: &Actor) -> Result<QueueCleared> {
        actor.require(Permission::DeploymentsWrite)?;
        let service = actor.service()?;
        let by = actor.author().name.unwrap_or_else(|| "somebody".to_owned());
        let mut canceled = Vec::new();
        let mut write = self.store().write().await?;
        for waiting in store::deployments::list_open(&mut write, service).await? {
            let end = End { canceled_by: Some(by.clone()), ..End::default() };
            if self.end_waiting(&mut write, &waiting, Phase::Canceled, &end).await? {
                canceled.push(waiting.id);
            }
        }
        self.record(actor, "queue.cleared")
            .resource("service", service, None)
            .detail("canceled", canceled.len())
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(QueueCleared { canceled })
    }
}

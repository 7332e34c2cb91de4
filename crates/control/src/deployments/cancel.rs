use contract::Code;
use contract::deployments::Deployment;
use domain::id::{DeploymentId, Id};
use domain::permission::Permission;

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Cancels a deployment that has not ended. One that waits ends at once; one that runs stops its build or takes its new
    /// replicas away, and the release that serves is not touched.
    ///
    /// # Errors
    /// `conflict` when it has ended.
    pub async fn cancel_deployment(&self, actor: &Actor) -> Result<Deployment> {
        actor.require(Permission::DeploymentsWrite)?;
        let id = DeploymentId::from_uuid(actor.located.id);
        let mut write = self.store().write().await?;
        let row = store::deployments::find(&mut write, actor.organization, id).await?.ok_or(ControlError::NotFound("deployment"))?;
        if row.phase.is_end() {
            return Err(ControlError::refused(Code::Conflict, "The deployment has ended already; there is nothing to cancel."));
        }
        let by = actor.author().name.unwrap_or_else(|| "somebody".to_owned());
        self.cancel_open(&mut write, &row, &by).await?;
        self.record(actor, "deployment.canceled").resource("deployment", id, None).append(&mut write).await?;
        write.commit().await?;
        self.read_deployment_of(actor.organization, id).await
    }
}

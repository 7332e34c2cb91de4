//! One action on many services. Each is asked for as if it were alone: its own authorisation, unit and audit entry; one that is
//! refused does not keep the others from being done.

use contract::deployments::CreateDeployment;
use contract::services::{BulkServices, MoveService, ServiceAction};
use domain::id::{DeploymentId, ServiceId};
use domain::permission::Permission;

use crate::access::{Actor, Kind};
use crate::error::{ControlError, Result};
use crate::state::Control;

/// Services of one request.
const SERVICES_MAX: usize = 100;

impl Control {
    /// What came of each, in the order of the request; the deployment where one was begun.
    ///
    /// # Errors
    /// `invalid` for the request as a whole.
    pub async fn act_on_services(&self, actor: &Actor, wanted: &BulkServices) -> Result<Vec<(ServiceId, Result<Option<DeploymentId>>)>> {
        actor.require(Permission::ServicesRead)?;
        if wanted.services.is_empty() || wanted.services.len() > SERVICES_MAX {
            return Err(ControlError::invalid("/services", "length", format!("1 to {SERVICES_MAX} services")));
        }
        if (wanted.action == ServiceAction::Move) != wanted.environment.is_some() {
            return Err(ControlError::invalid("/environment", "required", "it belongs to `move`, and to nothing else"));
        }
        let mut results = Vec::with_capacity(wanted.services.len());
        for service in &wanted.services {
            results.push((*service, self.act_on_service(actor, *service, wanted).await));
        }
        Ok(results)
    }

    async fn act_on_service(&self, actor: &Actor, service: ServiceId, wanted: &BulkServices) -> Result<Option<DeploymentId>> {
        let one = self.actor(&actor.principal, &actor.origin, Kind::Service, &service.to_string()).await?;
        if one.located.environment != actor.located.environment {
            return Err(ControlError::NotFound(Kind::Service.word()));
        }
        match wanted.action {
            ServiceAction::Deploy => Ok(Some(self.create_deployment(&one, CreateDeployment::default()).await?.id)),
            ServiceAction::Restart => Ok(Some(self.restart_service(&one).await?.id)),
            ServiceAction::Start => Ok(Some(self.start_service(&one).await?.id)),
            ServiceAction::Stop => self.stop_service(&one).await.map(|_| None),
            ServiceAction::Delete => self.delete_service(&one, wanted.volumes).await.map(|_| None),
            ServiceAction::Move => {
                let environment = wanted.environment.ok_or(ControlError::NotFound("environment"))?;
                self.move_service(&one, MoveService { environment }).await.map(|_| None)
            }
        }
    }
}

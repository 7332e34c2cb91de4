//! Everything about a service that a deployment needs, read at one moment.

use domain::id::{Id, OrganizationId, ServiceId};
use store::environments::EnvironmentRow;
use store::services::ServiceRow;

use crate::access::Located;
use crate::error::{ControlError, Result};
use crate::state::Control;

pub(crate) struct ServiceFacts {
    pub service: ServiceRow,
    pub environment: EnvironmentRow,
    /// Every host name it serves, the generated one first.
    pub hosts: Vec<String>,
}

impl ServiceFacts {
    /// The service as a resource that somebody has rights to.
    pub fn located(&self) -> Located {
        Located {
            organization: self.service.organization_id,
            project: Some(self.service.project_id),
            environment: Some(self.service.environment_id),
            service: Some(self.service.id),
            id: self.service.id.uuid(),
        }
    }
}

impl ServiceFacts {
    /// The branch, tag or commit that a deployment builds: its own, else the configured one.
    pub fn branch(&self, row: &store::deployments::DeploymentRow) -> Option<String> {
        row.reference.clone().or_else(|| match &self.service.configuration.0.source {
            Some(domain::service::Source::Git { reference, .. }) => reference.clone(),
            _ => None,
        })
    }
}

impl Control {
    /// # Errors
    /// `NotFound` when the service is gone.
    pub(crate) async fn service_facts(&self, organization: OrganizationId, service: ServiceId) -> Result<ServiceFacts> {
        let mut read = self.store().read().await?;
        let service = store::services::find(&mut read, organization, service).await?.ok_or(ControlError::NotFound("service"))?;
        let environment = store::environments::find(&mut read, organization, service.environment_id)
            .await?
            .ok_or(ControlError::NotFound("environment"))?;
        let own = store::domains::all_of_service(&mut read, organization, service.id).await?;
        let mut hosts = vec![self.generated_host(&service.app_name)];
        hosts.extend(own.into_iter().map(|domain| domain.host));
        Ok(ServiceFacts { service, environment, hosts })
    }
}

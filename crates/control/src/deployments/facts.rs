//! Everything about a service that a deployment needs, read at one moment.

use domain::id::{OrganizationId, ServiceId};
use store::environments::EnvironmentRow;
use store::services::ServiceRow;

use crate::error::{ControlError, Result};
use crate::state::Control;

pub(crate) struct ServiceFacts {
    pub service: ServiceRow,
    pub environment: EnvironmentRow,
    /// Every host name it serves, the generated one first.
    pub hosts: Vec<String>,
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

//! Restart, stop, start.

use contract::Code;
use contract::deployments::Deployment;
use domain::deployment::Trigger;
use domain::id::ServiceId;
use domain::permission::Permission;
use serde_json::json;
use store::Write;
use store::deployments::Work;
use store::jobs::{NewJob, Pool};

use super::job;
use super::request::Request;
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Replaces the replicas of the present release one by one, without a build and without a gap.
    pub async fn restart_service(&self, actor: &Actor) -> Result<Deployment> {
        self.renew(actor, "Restart", "service.restarted").await
    }

    /// Starts a stopped service.
    pub async fn start_service(&self, actor: &Actor) -> Result<Deployment> {
        self.renew(actor, "Start", "service.started").await
    }

    async fn renew(&self, actor: &Actor, title: &str, action: &'static str) -> Result<Deployment> {
        actor.require(Permission::DeploymentsWrite)?;
        let service = actor.service()?;
        if let Some(made) = self.repeated(actor, service).await? {
            return Ok(made);
        }
        let facts = self.service_facts(actor.organization, service).await?;
        Self::deployable(&facts.service)?;
        if facts.service.current_release_id.is_none() {
            return Err(ControlError::refused(Code::Conflict, "The service has no release yet. Deploy it first."));
        }
        let mut write = self.store().write().await?;
        store::services::set_stopped(&mut write, actor.organization, service, false).await?;
        let id = self
            .take_in(
                &mut write,
                Request {
                    organization: actor.organization,
                    service,
                    delivery: actor.origin.delivery(),
                    trigger: Trigger::Restart,
                    work: Work::Restart,
                    title: Some(title.to_owned()),
                    reference: None,
                    commit: None,
                    upload: None,
                    use_cache: true,
                    target: None,
                    formation: None,
                    warning: None,
                    author: actor.author(),
                },
            )
            .await?;
        self.record(actor, action).resource("service", service, Some(&facts.service.name)).append(&mut write).await?;
        write.commit().await?;
        self.read_deployment_of(actor.organization, id).await
    }

    /// Stops every replica; the routes answer that the service is stopped. Runs after what waits before it.
    pub async fn stop_service(&self, actor: &Actor) -> Result<()> {
        actor.require(Permission::DeploymentsWrite)?;
        let service = actor.service()?;
        let facts = self.service_facts(actor.organization, service).await?;
        Self::deployable(&facts.service)?;
        let mut write = self.store().write().await?;
        store::services::set_stopped(&mut write, actor.organization, service, true).await?;
        self.enqueue_stop(&mut write, actor, service).await?;
        self.record(actor, "service.stopped").resource("service", service, Some(&facts.service.name)).append(&mut write).await?;
        write.commit().await?;
        Ok(())
    }

    async fn enqueue_stop(&self, write: &mut Write, actor: &Actor, service: ServiceId) -> Result<()> {
        let fence = store::services::next_fence(write, actor.organization, service).await?;
        let payload = json!({ "service": service, "organization": actor.organization, "fence": fence });
        let stop = NewJob {
            pool: Pool::Deployments,
            serial_key: Some(job::serial_key(service)),
            ..NewJob::new(job::STOP_KIND, Some(actor.organization), payload)
        };
        store::jobs::enqueue(write, self.clock(), self.entropy(), stop).await?;
        Ok(())
    }
}

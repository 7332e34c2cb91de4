use domain::deployment::Trigger;
use domain::id::DeploymentId;
use store::Write;
use store::deployments::Work;
use store::services::ServiceRow;

use super::request::Request;
use crate::access::Actor;
use crate::error::Result;
use crate::state::Control;

impl Control {
    /// After a change of variables, settings or domains, in the same unit: asks for a new release of the image that serves.
    /// `None` when the service has no release yet, is stopped or is being deleted: the change waits for its next deployment.
    pub(crate) async fn request_release(
        &self,
        write: &mut Write,
        actor: &Actor,
        service: &ServiceRow,
        title: &str,
    ) -> Result<Option<DeploymentId>> {
        if service.current_release_id.is_none() || service.stopped || service.deleting_at.is_some() {
            return Ok(None);
        }
        let request = Request {
            organization: service.organization_id,
            service: service.id,
            delivery: format!("{}/{}", actor.origin.delivery(), service.id),
            trigger: Trigger::Configuration,
            work: Work::Release,
            title: Some(title.to_owned()),
            reference: None,
            commit: None,
            upload: None,
            use_cache: true,
            target: None,
            formation: None,
            warning: None,
            author: actor.author(),
        };
        Ok(Some(self.take_in(write, request).await?))
    }
}

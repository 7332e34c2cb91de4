use contract::Code;
use contract::deployments::{CreateRollback, Deployment};
use domain::deployment::Trigger;
use domain::permission::Permission;
use store::deployments::Work;

use super::request::Request;
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Returns to an earlier release: its image, variables, configuration and hosts, as a new release, without a build.
    ///
    /// # Errors
    /// `conflict` when there is nothing to return to, its image is gone, or a release in between is marked irreversible.
    pub async fn create_rollback(&self, actor: &Actor, wanted: CreateRollback) -> Result<Deployment> {
        actor.require(Permission::DeploymentsWrite)?;
        let service = actor.service()?;
        if let Some(made) = self.repeated(actor, service).await? {
            return Ok(made);
        }
        let facts = self.service_facts(actor.organization, service).await?;
        Self::deployable(&facts.service)?;
        let mut read = self.store().read().await?;
        let current = match facts.service.current_release_id {
            Some(id) => store::releases::find(&mut read, actor.organization, id).await?,
            None => None,
        };
        let target = match (wanted.version, &current) {
            (Some(version), _) => {
                let version = i64::try_from(version).unwrap_or(i64::MAX);
                store::releases::find_version(&mut read, actor.organization, service, version)
                    .await?
                    .ok_or_else(|| ControlError::invalid("/version", "not-found", format!("the service has no release v{version}")))?
            }
            (None, Some(current)) => store::releases::find_served_before(&mut read, service, current.version).await?.ok_or_else(|| {
                ControlError::refused(Code::Conflict, "There is no earlier release whose image is kept. Deploy an earlier commit instead.")
            })?,
            (None, None) => return Err(ControlError::refused(Code::Conflict, "The service has no release yet. Deploy it first.")),
        };
        if !target.image_kept {
            return Err(ControlError::refused(
                Code::Conflict,
                format!(
                    "The image of v{} is not kept any more (the service keeps {}). Deploy its commit {} instead.",
                    target.version, facts.service.configuration.0.releases_kept, target.revision
                ),
            ));
        }
        let blocking = store::releases::find_irreversible_after(&mut read, service, target.version).await?;
        if let (Some(blocking), false) = (blocking, wanted.force) {
            return Err(ControlError::refused(
                Code::Conflict,
                format!(
                    "v{} is marked irreversible: its migration cannot be undone, so v{} may not understand the data. Send `force: true` to go back all the same.",
                    blocking.version, target.version
                ),
            ));
        }
        drop(read);
        let mut write = self.store().write().await?;
        store::services::set_stopped(&mut write, actor.organization, service, false).await?;
        let id = self
            .take_in(
                &mut write,
                Request {
                    organization: actor.organization,
                    service,
                    delivery: actor.origin.delivery(),
                    trigger: Trigger::Rollback,
                    work: Work::Release,
                    title: Some(format!("Rollback to v{}", target.version)),
                    reference: None,
                    commit: Some(target.revision),
                    upload: None,
                    use_cache: true,
                    target: Some(target.id),
                    formation: None,
                    warning: None,
                    author: actor.author(),
                },
            )
            .await?;
        self.record(actor, "service.rolled_back").resource("service", service, Some(&facts.service.name)).append(&mut write).await?;
        write.commit().await?;
        self.read_deployment_of(actor.organization, id).await
    }
}

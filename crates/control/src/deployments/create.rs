use contract::deployments::{CreateDeployment, Deployment};
use contract::{Code, FieldError};
use domain::deployment::Trigger;
use domain::permission::Permission;
use domain::service::Source;
use store::deployments::Work;

use super::request::Request;
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

const TITLE_LENGTH_MAX: usize = 200;
const REFERENCE_LENGTH_MAX: usize = 255;

impl Control {
    /// Deploys the service's source, or another reference or upload of it.
    ///
    /// # Errors
    /// `invalid` with the field; `conflict` when the service has no source.
    pub async fn create_deployment(&self, actor: &Actor, wanted: CreateDeployment) -> Result<Deployment> {
        actor.require(Permission::DeploymentsWrite)?;
        if let Some(made) = self.repeated(actor, actor.service()?).await? {
            return Ok(made);
        }
        let facts = self.service_facts(actor.organization, actor.service()?).await?;
        Self::deployable(&facts.service)?;
        check(&wanted)?;
        match &facts.service.configuration.0.source {
            None if wanted.upload.is_none() => {
                return Err(ControlError::refused(
                    Code::Conflict,
                    "The service has no source yet. Set `configuration.source` (a Git URL, an upload or an image) and deploy again.",
                ));
            }
            Some(Source::Archive { upload: None }) if wanted.upload.is_none() => {
                return Err(ControlError::refused(
                    Code::Conflict,
                    "The service is deployed from uploads. Upload an archive and name it in `upload`.",
                ));
            }
            _ => {}
        }
        if let Some(upload) = wanted.upload {
            let known = store::uploads::find(&mut self.store().read().await?, actor.organization, upload).await?;
            if known.is_none_or(|known| known.service_id != facts.service.id) {
                return Err(ControlError::invalid("/upload", "not-found", "there is no such upload of this service"));
            }
        }
        let mut write = self.store().write().await?;
        // A stopped service that is deployed starts; a stop that is asked for later stops it in its turn.
        store::services::set_stopped(&mut write, actor.organization, facts.service.id, false).await?;
        let id = self
            .take_in(
                &mut write,
                Request {
                    organization: actor.organization,
                    service: facts.service.id,
                    delivery: actor.origin.delivery(),
                    trigger: if matches!(actor.principal.via, crate::access::Via::Token { .. }) { Trigger::Api } else { Trigger::Manual },
                    work: Work::Build,
                    title: wanted.title,
                    reference: wanted.reference,
                    commit: None,
                    upload: wanted.upload,
                    use_cache: !wanted.clean,
                    target: None,
                    formation: None,
                    warning: None,
                    author: actor.author(),
                },
            )
            .await?;
        self.record(actor, "deployment.created").resource("deployment", id, Some(&facts.service.name)).append(&mut write).await?;
        write.commit().await?;
        self.read_deployment_of(actor.organization, id).await
    }
}

fn check(wanted: &CreateDeployment) -> Result<()> {
    let mut errors = Vec::new();
    if wanted.title.as_ref().is_some_and(|title| title.chars().count() > TITLE_LENGTH_MAX) {
        errors.push(FieldError::new("/title", "too-long", format!("at most {TITLE_LENGTH_MAX} characters")));
    }
    if let Some(reference) = &wanted.reference {
        if reference.is_empty() || reference.len() > REFERENCE_LENGTH_MAX {
            errors.push(FieldError::new("/reference", "length", format!("1 to {REFERENCE_LENGTH_MAX} bytes")));
        } else if reference.starts_with('-') {
            errors.push(FieldError::new("/reference", "invalid", "a branch, tag or commit does not begin with `-`"));
        } else if reference.chars().any(|character| character.is_control() || character == ' ') {
            errors.push(FieldError::new("/reference", "invalid", "a branch, tag or commit has no spaces or control characters"));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ControlError::Invalid(errors)) }
}

use contract::deployments::{Deployment, Scale};
use contract::{Code, FieldError};
use domain::deployment::Trigger;
use domain::permission::Permission;
use domain::service::REPLICAS_MAX;
use store::deployments::Work;

use super::request::Request;
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Sets replicas per process type: a new release of the present image.
    ///
    /// # Errors
    /// `invalid` for an unknown process or a number out of range, or two replicas of a service with a written volume.
    pub async fn scale_service(&self, actor: &Actor, wanted: Scale) -> Result<Deployment> {
        actor.require(Permission::DeploymentsWrite)?;
        let service = actor.service()?;
        let mut write = self.store().write().await?;
        let row = store::services::get_locked(&mut write, actor.organization, service).await?;
        Self::deployable(&row)?;
        let mut configuration = row.configuration.0.clone();
        let mut errors = Vec::new();
        for (name, replicas) in &wanted.processes {
            let pointer = format!("/processes/{name}");
            match configuration.processes.iter_mut().find(|process| &process.name == name) {
                None => errors.push(FieldError::new(pointer, "not-found", "the service has no such process type")),
                Some(_) if *replicas > REPLICAS_MAX => {
                    errors.push(FieldError::new(pointer, "out-of-range", format!("0 to {REPLICAS_MAX}")))
                }
                Some(process) => process.replicas = *replicas,
            }
        }
        if configuration.single_writer() && configuration.processes.iter().map(|process| process.replicas).sum::<u32>() > 1 {
            errors.push(FieldError::new(
                "/processes",
                "single-writer",
                "the service writes a volume, so it has at most one replica: two would damage the data",
            ));
        }
        if wanted.processes.is_empty() {
            errors.push(FieldError::new("/processes", "required", "name at least one process, for example {\"web\": 2}"));
        }
        if !errors.is_empty() {
            return Err(ControlError::Invalid(errors));
        }
        if row.current_release_id.is_none() {
            return Err(ControlError::refused(Code::Conflict, "The service has no release yet. Deploy it first, then scale it."));
        }
        if row.stopped {
            return Err(ControlError::refused(Code::Conflict, "The service is stopped. Start it first, then scale it."));
        }
        let words: Vec<String> = wanted.processes.iter().map(|(name, replicas)| format!("{name}={replicas}")).collect();
        let row = store::services::ServiceRow { configuration: store::Json(configuration), updated_at: self.clock().now(), ..row };
        store::services::update(&mut write, &row, true).await?;
        let id = self
            .take_in(
                &mut write,
                Request {
                    organization: actor.organization,
                    service,
                    delivery: format!("request/{}", actor.origin.request),
                    trigger: Trigger::Configuration,
                    work: Work::Release,
                    title: Some(format!("Scale {}", words.join(" "))),
                    reference: None,
                    commit: None,
                    upload: None,
                    use_cache: true,
                    target: None,
                    author: actor.author(),
                },
            )
            .await?;
        self.record(actor, "service.scaled").resource("service", service, Some(&row.name)).append(&mut write).await?;
        write.commit().await?;
        self.read_deployment_of(actor.organization, id).await
    }
}

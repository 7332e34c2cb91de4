use contract::deployments::{Deployment, Scale};
use contract::{Code, FieldError};
use domain::permission::Permission;
use domain::service::{Configuration, REPLICAS_MAX};

use super::formation::two_writers;
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Sets replicas per process type: a new release that is in everything else the one that serves.
    ///
    /// # Errors
    /// `invalid` for an unknown process or a number out of range, or two replicas of a service with a written volume.
    pub async fn scale_service(&self, actor: &Actor, wanted: Scale) -> Result<Deployment> {
        actor.require(Permission::DeploymentsWrite)?;
        let service = actor.service()?;
        check(&wanted)?;
        if let Some(made) = self.repeated(actor, service).await? {
            return Ok(made);
        }
        let mut write = self.store().write().await?;
        let row = store::services::get_locked(&mut write, actor.organization, service).await?;
        Self::deployable(&row)?;
        if row.current_release_id.is_none() {
            return Err(ControlError::refused(Code::Conflict, "The service has no release yet. Deploy it first, then scale it."));
        }
        if row.stopped {
            return Err(ControlError::refused(Code::Conflict, "The service is stopped. Start it first, then scale it."));
        }
        let serving = match row.current_release_id {
            Some(id) => store::releases::find(&mut write, actor.organization, id).await?,
            None => None,
        };
        let waits = !store::deployments::list_open(&mut write, service).await?.is_empty();
        // The release that serves is what is scaled; the settings follow, so that the next deployment has as many. What waits may
        // bring a process type that does not serve yet.
        let mut serving = serving.map(|release| release.configuration.0).unwrap_or_default();
        let mut configuration = row.configuration.0.clone();
        let mut errors = Vec::new();
        for (name, replicas) in &wanted.processes {
            let pointer = format!("/processes/{name}");
            let served = set(&mut serving, name, *replicas);
            let configured = set(&mut configuration, name, *replicas);
            if !served && !configured {
                errors.push(FieldError::new(pointer, "not-found", "the service has no such process type"));
            } else if !served && !waits {
                errors.push(FieldError::new(pointer, "not-found", "the release that serves has no such process type: deploy first"));
            }
        }
        if two_writers(&configuration) || two_writers(&serving) {
            errors.push(FieldError::new(
                "/processes",
                "single-writer",
                "the service writes a volume, so it has at most one replica: two would damage the data",
            ));
        }
        if !errors.is_empty() {
            return Err(ControlError::Invalid(errors));
        }
        let before = row.revision;
        let row = store::services::ServiceRow { configuration: store::Json(configuration), updated_at: self.clock().now(), ..row };
        store::services::update(&mut write, &row, true).await?;
        let id = self.request_formation(&mut write, actor, (&row, before), wanted.processes, actor.origin.delivery()).await?;
        self.record(actor, "service.scaled").resource("service", service, Some(&row.name)).append(&mut write).await?;
        write.commit().await?;
        self.read_deployment_of(actor.organization, id).await
    }
}

/// What is wrong whatever the service's state.
fn check(wanted: &Scale) -> Result<()> {
    let out_of_range = |(name, replicas): (&String, &u32)| {
        (*replicas > REPLICAS_MAX).then(|| FieldError::new(format!("/processes/{name}"), "out-of-range", format!("0 to {REPLICAS_MAX}")))
    };
    let mut errors: Vec<_> = wanted.processes.iter().filter_map(out_of_range).collect();
    if wanted.processes.is_empty() {
        errors.push(FieldError::new("/processes", "required", "name at least one process, for example {\"web\": 2}"));
    }
    if errors.is_empty() { Ok(()) } else { Err(ControlError::Invalid(errors)) }
}

/// Whether there is such a process type.
fn set(configuration: &mut Configuration, name: &str, replicas: u32) -> bool {
    match configuration.processes.iter_mut().find(|process| process.name == name) {
        Some(process) => {
            process.replicas = replicas;
            true
        }
        None => false,
    }
}

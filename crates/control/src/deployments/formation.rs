//! Changes of replicas alone. They concern what runs: image, variables, files, settings and hosts of the release that serves stay
//! as they are, also after a rollback. Edits that wait stay a draft.

use std::collections::BTreeMap;

use contract::Code;
use domain::deployment::Trigger;
use domain::id::DeploymentId;
use domain::service::Configuration;
use store::deployments::{Formation, Work};
use store::services::ServiceRow;
use store::{Json, Write};

use super::request::Request;
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Asks for a release that differs from the one that serves in replicas alone. `revision_before` is the service's revision
    /// before the change was written into its settings, `service` the row after it.
    pub(crate) async fn request_formation(
        &self,
        write: &mut Write,
        actor: &Actor,
        (service, revision_before): (&ServiceRow, i64),
        processes: BTreeMap<String, u32>,
        delivery: String,
    ) -> Result<DeploymentId> {
        let words: Vec<String> = processes.iter().map(|(name, replicas)| format!("{name}={replicas}")).collect();
        let formation = Formation { processes, revision_before, revision: revision_before + 1 };
        let request = Request {
            formation: Some(Json(formation)),
            ..Request::new(service.organization_id, service.id, delivery, Trigger::Configuration, Work::Release, actor.author())
        };
        self.take_in(write, Request { title: Some(format!("Scale {}", words.join(" "))), ..request }).await
    }
}

/// The replicas in which two configurations differ, when they differ in nothing else.
pub(crate) fn only_replicas(before: &Configuration, after: &Configuration) -> Option<BTreeMap<String, u32>> {
    let mut equalized = before.clone();
    let mut changed = BTreeMap::new();
    for process in &mut equalized.processes {
        let now = after.processes.iter().find(|other| other.name == process.name)?;
        if now.replicas != process.replicas {
            changed.insert(process.name.clone(), now.replicas);
            process.replicas = now.replicas;
        }
    }
    (equalized == *after && !changed.is_empty()).then_some(changed)
}

/// Puts the replicas into the configuration of the release `version`.
///
/// # Errors
/// `conflict` when it has no such process, or would have two writers of a volume.
pub(super) fn form(configuration: &mut Configuration, formation: &Formation, version: i64) -> Result<()> {
    for (name, replicas) in &formation.processes {
        let process = configuration.processes.iter_mut().find(|process| &process.name == name).ok_or_else(|| {
            let detail =
                format!("v{version}, which serves, has no process type {name}. Deploy the service's settings first, then scale it.");
            ControlError::refused(Code::Conflict, detail)
        })?;
        process.replicas = *replicas;
    }
    if two_writers(configuration) {
        let detail = format!("v{version}, which serves, writes a volume, so it has at most one replica: two would damage the data.");
        return Err(ControlError::refused(Code::Conflict, detail));
    }
    Ok(())
}

pub(super) fn two_writers(configuration: &Configuration) -> bool {
    configuration.single_writer() && configuration.processes.iter().map(|process| process.replicas).sum::<u32>() > 1
}

#[cfg(test)]
mod tests {
    use domain::service::Configuration;

    use super::only_replicas;

    #[test]
    fn other_changes_are_no_formation() {
        let before = Configuration::default();
        let mut after = before.clone();
        assert_eq!(only_replicas(&before, &after), None);
        after.processes[0].replicas += 2;
        let name = after.processes[0].name.clone();
        assert_eq!(only_replicas(&before, &after), Some([(name, after.processes[0].replicas)].into()));
        after.port = Some(1 + after.port.unwrap_or(domain::service::PORT_DEFAULT));
        assert_eq!(only_replicas(&before, &after), None);
    }
}

use contract::replicas::{Replica, ServiceStatus};
use deployer::protocol::{ReplicaState, ReplicaStatus};
use domain::deployment::{Phase, ServiceState};
use domain::permission::Permission;
use store::deployments::DeploymentRow;
use store::releases::ReleaseRow;

use crate::access::Actor;
use crate::error::Result;
use crate::state::Control;

impl Control {
    /// The badge of a service with what is behind it. A server that does not answer is said so, never shown as healthy.
    pub async fn service_status(&self, actor: &Actor) -> Result<ServiceStatus> {
        actor.require(Permission::ServicesRead)?;
        let service = actor.service()?;
        let facts = self.service_facts(actor.organization, service).await?;
        let mut read = self.store().read().await?;
        let last = store::deployments::find_last(&mut read, service).await?;
        let release = match facts.service.current_release_id {
            Some(id) => store::releases::find(&mut read, actor.organization, id).await?,
            None => None,
        };
        drop(read);
        let (replicas, silence) = match self.server().replicas(service).await {
            Ok(replicas) => (replicas, None),
            Err(failure) => (Vec::new(), Some(failure.to_string())),
        };
        let (state, reason) = match silence {
            Some(why) => (ServiceState::Unknown, why),
            None => judge(facts.service.stopped, release.as_ref(), last.as_ref(), &replicas),
        };
        Ok(ServiceStatus {
            state,
            reason,
            url: release.as_ref().and_then(|release| release.hosts.0.first()).map(|host| self.url_of(host)),
            version: release.and_then(|release| u64::try_from(release.version).ok()),
            replicas: replicas.into_iter().map(shown).collect(),
        })
    }
}

/// Decides the badge from what is known.
fn judge(stopped: bool, release: Option<&ReleaseRow>, last: Option<&DeploymentRow>, replicas: &[ReplicaStatus]) -> (ServiceState, String) {
    let open = last.filter(|last| last.finished_at.is_none());
    if let Some(open) = open {
        return match open.phase {
            Phase::Queued | Phase::WaitingForCi => (ServiceState::Waiting, "A deployment waits for its turn.".into()),
            Phase::Live => (ServiceState::Live, "The new release serves; the old one is being drained.".into()),
            phase => (ServiceState::Deploying, format!("A deployment is at the phase {}.", crate::word(&phase))),
        };
    }
    let Some(release) = release else {
        return match last {
            Some(last) if last.phase == Phase::Failed => (ServiceState::Failed, "The first deployment failed.".into()),
            _ => (ServiceState::New, "Never deployed.".into()),
        };
    };
    if stopped {
        return (ServiceState::Stopped, "Stopped by hand. Start it to serve again.".into());
    }
    let wanted: u32 = release.configuration.0.processes.iter().map(|process| process.replicas).sum();
    let count = |state: ReplicaState| replicas.iter().filter(|replica| replica.state == state).count();
    let running = u32::try_from(count(ReplicaState::Running)).unwrap_or(u32::MAX);
    if wanted > 0 && running == 0 && count(ReplicaState::Crashed) + count(ReplicaState::Restarting) + count(ReplicaState::Unhealthy) > 0 {
        return (ServiceState::Crashed, "Every replica keeps ending. Its last lines are in the log.".into());
    }
    if running < wanted {
        return (ServiceState::Degraded, format!("{running} of {wanted} replicas run."));
    }
    (ServiceState::Live, format!("{running} of {wanted} replicas run v{}.", release.version))
}

fn shown(replica: ReplicaStatus) -> Replica {
    Replica {
        name: replica.name,
        process: replica.process,
        version: replica.release,
        state: crate::word(&replica.state),
        restarts: replica.restarts,
        exit_code: replica.exit_code,
        out_of_memory: replica.out_of_memory,
        started_at: replica.started_at,
    }
}

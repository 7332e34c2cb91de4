//! What really runs for a service, and its stop.

use std::sync::{Arc, PoisonError};

use domain::deployment::{Failure, Step};
use domain::id::ServiceId;
use domain::service::WEB;
use futures_util::future::join_all;

use crate::parts::Parts;
use crate::protocol::{LogStream, ReplicaState, ReplicaStatus};
use crate::rollout::routes;

/// Replicas of every release that still has some, in order of their names.
pub async fn list(parts: &Arc<Parts>, service: ServiceId) -> Result<Vec<ReplicaStatus>, Failure> {
    let record = parts.states.find(service);
    let serving = record.as_ref().and_then(|record| record.serving.as_ref());
    let port = serving.map(|serving| serving.port);
    let found = parts.engine.replicas(service).await?;
    let inspected =
        join_all(found.iter().map(|replica| parts.engine.status(replica, port.filter(|_| replica.labels.process == WEB)))).await;
    let mut replicas = Vec::new();
    for status in inspected {
        let Some(mut status) = status? else { continue };
        if let Some(serving) = serving
            && let Some(kept) = serving.replicas.iter().find(|replica| replica.container == status.id)
        {
            // A replica that no change touched runs the newest release, whatever its label says.
            status.release = serving.version;
            if kept.crashed && status.state != ReplicaState::Running {
                status.state = ReplicaState::Crashed;
            }
        }
        replicas.push(status);
    }
    replicas.sort_by(|one, other| (&one.process, &one.name, one.release).cmp(&(&other.process, &other.name, other.release)));
    Ok(replicas)
}

/// Routes first, then the stop signal.
pub async fn stop(parts: &Arc<Parts>, service: ServiceId, fence: u64) -> Result<(), Failure> {
    let lock = parts.lock_of(service);
    let _alone = lock.lock().await;
    let Some(mut record) = parts.states.find(service) else { return Ok(()) };
    if fence < record.fence {
        return Err(Failure::new(
            domain::deployment::Cause::Internal,
            Step::Stop,
            "A newer order of this service was accepted before this stop.",
            "Look at the service again, then stop it if you still want to.",
        ));
    }
    record.fence = fence;
    record.stopped = true;
    parts.states.save(record.clone())?;
    let found = parts.engine.replicas(service).await?;
    if let Some(serving) = record.serving.clone().filter(|serving| !serving.hosts.is_empty()) {
        let route = routes::route(&record, &serving, &std::collections::BTreeMap::new());
        parts.put_route(service, route).await.map_err(|error| routes::failure(Step::Stop, &error))?;
        let web: Vec<String> = found.iter().filter(|replica| replica.labels.process == WEB).map(|replica| replica.id.clone()).collect();
        let grace = std::time::Duration::from_secs(u64::from(serving.drain_seconds));
        if let Err(error) = parts.ingress.drain(&service.to_string(), &web, Some(grace)).await {
            tracing::warn!(%service, "the drain of {service} could not be watched: {error}");
        }
    }
    let grace = record.serving.as_ref().map_or(10, |serving| serving.stop_grace_seconds);
    for result in join_all(found.iter().map(|replica| parts.engine.stop(&replica.id, grace))).await {
        result?;
    }
    parts.say(LogStream::Service(service), "seaway", "Stopped");
    Ok(())
}

/// Forgets collectors of containers that are gone.
pub fn unfollow(parts: &Parts, container: &str) {
    if let Some(token) = parts.followed.lock().unwrap_or_else(PoisonError::into_inner).remove(container) {
        token.cancel();
    }
}

//! Compares what exists with what is intended and repairs both ways. It deletes only containers and images with the labels of
//! this instance; networks and volumes may hold data or be about to be used, so they are named and left.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use bollard::models::ContainerSummaryStateEnum;
use domain::deployment::Failure;
use domain::id::{DeploymentId, EnvironmentId, ServiceId};

use crate::engine::{Found, labels};
use crate::parts::Parts;
use crate::protocol::{CrashedService, Intended, Removal, SweepMode, SweepReport};
use crate::reconcile;
use crate::state::{ServiceRecord, ServingReplica};

/// Grace of an orphan.
const STOP_GRACE_SECONDS: u32 = 10;

pub async fn sweep(parts: &Arc<Parts>, intended: Intended, mode: SweepMode) -> Result<SweepReport, Failure> {
    let mut report = SweepReport::default();
    close_interrupted(parts, &intended, mode, &mut report).await?;
    let found = parts.engine.list(&[]).await?;
    sweep_containers(parts, &intended, mode, &found, &mut report).await?;
    sweep_services(parts, &intended, mode, &mut report).await?;
    sweep_images(parts, &intended, mode, &mut report).await?;
    crate::disk::sweep(parts, mode, &mut report).await;
    name_leftovers(parts, &intended, &mut report).await?;
    report.crashed = crashed(parts, &intended).await;
    for (service, wanted) in &intended.services {
        let Some(release) = wanted.release.filter(|_| !wanted.stopped) else { continue };
        let record = parts.states.find(*service);
        if record.as_ref().is_some_and(|record| record.pending.is_some()) {
            continue;
        }
        let serving = record.and_then(|record| record.serving);
        let runs = serving.as_ref().is_some_and(|serving| {
            serving.release == release
                && serving.replicas.iter().all(|replica| found.iter().any(|container| container.id == replica.container))
        });
        if !runs {
            report.missing.push(*service);
        }
    }
    Ok(report)
}

/// What was given up after too many restarts. Why a replica ended is left out when the engine does not say.
async fn crashed(parts: &Arc<Parts>, intended: &Intended) -> Vec<CrashedService> {
    let mut crashed = Vec::new();
    for record in parts.states.all() {
        let settled = !record.stopped && record.pending.is_none() && intended.services.contains_key(&record.service);
        let Some(serving) = record.serving.filter(|_| settled) else { continue };
        let given_up: Vec<&ServingReplica> = serving.replicas.iter().filter(|replica| replica.crashed).collect();
        let Some(since) = given_up.iter().filter_map(|replica| replica.crashed_at).min() else { continue };
        let statuses = crate::replicas::list(parts, record.service).await.unwrap_or_default();
        let ended: Vec<_> = statuses.iter().filter(|status| given_up.iter().any(|replica| replica.container == status.id)).collect();
        crashed.push(CrashedService {
            service: record.service,
            release: serving.release,
            replicas: given_up.iter().map(|replica| format!("{}.{}", replica.process, replica.replica)).collect(),
            exit_code: ended.iter().find_map(|status| status.exit_code),
            out_of_memory: ended.iter().any(|status| status.out_of_memory),
            restarts_max: serving.restarts_max,
            since,
        });
    }
    crashed
}

/// An operation that nobody works on any more: the release before it is brought back.
async fn close_interrupted(parts: &Arc<Parts>, intended: &Intended, mode: SweepMode, report: &mut SweepReport) -> Result<(), Failure> {
    for record in parts.states.all() {
        let Some(operation) = record.pending.filter(|operation| !intended.deployments.contains(operation)) else { continue };
        let lock = parts.lock_of(record.service);
        let Ok(alone) = lock.try_lock() else { continue };
        report.repaired.push(format!("{}: operation {operation} was interrupted; the release before it serves", record.service));
        if mode == SweepMode::Act {
            bring_back(parts, record.service).await?;
            drop(alone);
            reconcile::one(parts, record.service).await;
        }
    }
    Ok(())
}

async fn bring_back(parts: &Arc<Parts>, service: ServiceId) -> Result<(), Failure> {
    let Some(mut record) = parts.states.find(service) else { return Ok(()) };
    let serving = record.serving.clone();
    for replica in parts.engine.replicas(service).await? {
        let serves = serving.as_ref().is_some_and(|serving| serving.has(&replica.id));
        if !serves {
            parts.engine.stop(&replica.id, STOP_GRACE_SECONDS).await?;
            parts.engine.remove(&replica.id).await?;
        } else if !record.stopped && !matches!(replica.state, ContainerSummaryStateEnum::RUNNING) {
            parts.engine.start(&replica.id).await?;
            parts.engine.set_restart(&replica.id, true).await?;
        }
    }
    record.pending = None;
    parts.states.save(record)
}

/// Why a container may go.
fn orphan(parts: &Parts, intended: &Intended, records: &[ServiceRecord], container: &Found) -> Option<String> {
    if let Some(run) = parts.engine.as_run(container) {
        let under_way = parts.runs.lock().unwrap_or_else(PoisonError::into_inner).contains(&run.run);
        let over = run.deadline < parts.clock.now().timestamp();
        return (!under_way && over).then(|| format!("one-off {} whose time is over", run.run));
    }
    let labels = crate::engine::labels::ReplicaLabels::read(parts.engine.instance(), &container.labels)?;
    if intended.deployments.contains(&labels.deployment) {
        return None;
    }
    if !intended.services.contains_key(&labels.service) {
        return Some(format!("{} of the service {}, which does not exist", labels.name(), labels.service));
    }
    let record = records.iter().find(|record| record.service == labels.service)?;
    let serves = record.serving.as_ref().is_some_and(|serving| serving.has(&container.id));
    (!serves && record.pending.is_none()).then(|| format!("{} of v{}, which does not serve", labels.name(), labels.version))
}

async fn sweep_containers(
    parts: &Arc<Parts>,
    intended: &Intended,
    mode: SweepMode,
    found: &[Found],
    report: &mut SweepReport,
) -> Result<(), Failure> {
    for container in found {
        let records = parts.states.all();
        let Some(reason) = orphan(parts, intended, &records, container) else { continue };
        let service = container.labels.get(labels::SERVICE).and_then(|id| id.parse::<ServiceId>().ok());
        let lock = service.map(|service| parts.lock_of(service));
        let alone = lock.as_ref().map(|lock| lock.try_lock());
        if alone.as_ref().is_some_and(Result::is_err) {
            continue;
        }
        // Somebody may have taken it up between the look and the lock.
        if orphan(parts, intended, &parts.states.all(), container).is_none() {
            continue;
        }
        report.removed.push(format!("container {}: {reason}", container.id.get(..12).unwrap_or(&container.id)));
        if mode == SweepMode::Act {
            parts.engine.stop(&container.id, STOP_GRACE_SECONDS).await?;
            parts.engine.remove(&container.id).await?;
        }
    }
    Ok(())
}

/// Records and routes of services that do not exist any more.
async fn sweep_services(parts: &Arc<Parts>, intended: &Intended, mode: SweepMode, report: &mut SweepReport) -> Result<(), Failure> {
    for record in parts.states.all() {
        let under_way = record.pending.is_some_and(|operation| intended.deployments.contains(&operation));
        if intended.services.contains_key(&record.service) || under_way {
            continue;
        }
        report.removed.push(format!("routes and state of the service {}, which does not exist", record.service));
        if mode == SweepMode::Act {
            let removed = crate::removal::remove(parts, Removal::Service { service: record.service, volumes: Vec::new() }).await?;
            report.removed.extend(removed.removed);
            report.left.extend(removed.left);
            report.bytes_freed += removed.bytes_freed;
        }
    }
    Ok(())
}

async fn sweep_images(parts: &Arc<Parts>, intended: &Intended, mode: SweepMode, report: &mut SweepReport) -> Result<(), Failure> {
    let used: BTreeSet<String> = parts.engine.list_all_image_ids_in_use().await?;
    let kept: BTreeSet<&String> = intended.services.values().flat_map(|service| &service.images_kept).collect();
    for image in parts.engine.list_images().await? {
        let deployment = image.labels.get(labels::DEPLOYMENT).and_then(|id| id.parse::<DeploymentId>().ok());
        let under_way = deployment.is_some_and(|deployment| intended.deployments.contains(&deployment));
        let is_kept = kept.contains(&image.id) || image.repo_tags.iter().any(|tag| kept.contains(tag));
        let serves = parts.states.all().iter().any(|record| record.serving.as_ref().is_some_and(|serving| serving.image == image.id));
        if under_way || is_kept || serves || used.contains(&image.id) {
            continue;
        }
        report.removed.push(format!("image {}", image.repo_tags.first().unwrap_or(&image.id)));
        let size = u64::try_from(image.size).unwrap_or(0);
        if mode == SweepMode::Simulate {
            report.bytes_freed += size;
            continue;
        }
        let names = if image.repo_tags.is_empty() { vec![image.id.clone()] } else { image.repo_tags.clone() };
        for name in names {
            match parts.engine.remove_image(&name).await {
                Ok(_) => report.bytes_freed += size / u64::try_from(image.repo_tags.len().max(1)).unwrap_or(1),
                Err(error) => report.left.push(format!("image {name}: {error}")),
            }
        }
    }
    Ok(())
}

async fn name_leftovers(parts: &Parts, intended: &Intended, report: &mut SweepReport) -> Result<(), Failure> {
    for network in parts.engine.list_networks(true).await? {
        let id = network.labels.as_ref().and_then(|all| all.get(labels::ENVIRONMENT)).and_then(|id| id.parse::<EnvironmentId>().ok());
        if id.is_some_and(|id| !intended.environments.contains(&id)) {
            report.left.push(format!("network {}: its environment does not exist", network.name.unwrap_or_default()));
        }
    }
    for volume in parts.engine.list_volumes().await? {
        let id = volume.labels.get(labels::VOLUME).and_then(|id| id.parse().ok());
        if id.is_some_and(|id| !intended.volumes.contains(&id)) {
            report.left.push(format!("volume {}: no service has it", volume.name));
        }
    }
    Ok(())
}

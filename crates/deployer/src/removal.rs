//! Removal of what is named, and of nothing else: by ids and by the labels of this instance.

use std::sync::Arc;

use domain::deployment::{Cause, Failure, Step};
use domain::id::{ServiceId, VolumeId};
use futures_util::future::join_all;

use crate::engine::labels;
use crate::network::network_name;
use crate::parts::Parts;
use crate::policy::volume_name;
use crate::protocol::{LogStream, Removal, RemovalReport};
use crate::replicas::unfollow;

/// A service that is deleted gets this long to stop; its data is kept or removed by what the order says.
const STOP_GRACE_SECONDS_MAX: u32 = 30;

pub async fn remove(parts: &Arc<Parts>, removal: Removal) -> Result<RemovalReport, Failure> {
    let mut report = RemovalReport::default();
    match removal {
        Removal::Service { service, volumes } => remove_service(parts, service, volumes, &mut report).await?,
        Removal::Environment { environment } => {
            let name = network_name(environment);
            let owned = parts.engine.list_networks(true).await?.into_iter().any(|network| network.name.as_deref() == Some(&name));
            if owned {
                note(&mut report, &format!("network {name}"), parts.networks.remove(environment).await);
            }
        }
        Removal::Volume { volume } => remove_volume(parts, volume, &mut report).await?,
        Removal::Images { service, images } => {
            for image in images {
                remove_image(parts, service, &image, &mut report).await?;
            }
        }
    }
    Ok(report)
}

fn note(report: &mut RemovalReport, what: &str, result: Result<bool, String>) {
    match result {
        Ok(true) => report.removed.push(what.to_owned()),
        Ok(false) => {}
        Err(reason) => report.left.push(format!("{what}: {reason}")),
    }
}

async fn remove_service(parts: &Arc<Parts>, service: ServiceId, volumes: Vec<VolumeId>, report: &mut RemovalReport) -> Result<(), Failure> {
    let lock = parts.lock_of(service);
    let _alone = lock.lock().await;
    let record = parts.states.find(service);
    // No request may reach a container that is about to go.
    let fence = record.as_ref().map_or(u64::MAX, |record| record.fence);
    let had_hosts = record.as_ref().and_then(|record| record.serving.as_ref()).is_none_or(|serving| !serving.hosts.is_empty());
    if let Err(error) = parts.delete_route(service, fence).await
        && had_hosts
    {
        return Err(Failure::new(
            Cause::Ingress,
            Step::Stop,
            format!("The service's routes could not be removed: {error}."),
            "Check that the ingress runs on the server (`seaway doctor`), then delete again.",
        ));
    }
    let grace = record.as_ref().and_then(|record| record.serving.as_ref()).map_or(10, |serving| serving.stop_grace_seconds);
    let found = parts.engine.list(&[format!("{}={service}", labels::SERVICE)]).await?;
    let ends = found.iter().map(|container| async move {
        let _ = parts.engine.stop(&container.id, grace.min(STOP_GRACE_SECONDS_MAX)).await;
        unfollow(parts, &container.id);
        (container, parts.engine.remove(&container.id).await)
    });
    for (container, result) in join_all(ends).await {
        let what = format!("container {}", container.id.get(..12).unwrap_or(&container.id));
        note(report, &what, result.map(|()| true).map_err(|failure| failure.message));
    }
    for volume in volumes {
        remove_volume(parts, volume, report).await?;
    }
    let images = parts.engine.list_images().await?;
    for image in images.into_iter().filter(|image| image.labels.get(labels::SERVICE).is_some_and(|owner| *owner == service.to_string())) {
        remove_image(parts, service, &image.id, report).await?;
    }
    let disk = |error: std::io::Error| {
        Failure::new(
            Cause::Internal,
            Step::Record,
            format!("The service's files could not be removed: {error}."),
            "Check the disk of the server.",
        )
    };
    if let Err(error) = std::fs::remove_dir_all(parts.files_dir(service))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(disk(error));
    }
    report.bytes_freed += parts.logs.remove(LogStream::Service(service)).map_err(disk)?;
    if report.left.is_empty() {
        parts.states.remove(service).map_err(disk)?;
    }
    Ok(())
}

async fn remove_volume(parts: &Parts, volume: VolumeId, report: &mut RemovalReport) -> Result<(), Failure> {
    let name = volume_name(volume);
    let owned = parts.engine.list_volumes().await?.into_iter().any(|found| found.name == name);
    if owned {
        note(report, &format!("volume {name}"), parts.engine.remove_volume(&name).await.map_err(|error| error.to_string()));
    }
    Ok(())
}

/// Only an image that this instance made for this service, and never one that a container uses.
async fn remove_image(parts: &Parts, service: ServiceId, image: &str, report: &mut RemovalReport) -> Result<(), Failure> {
    let Some(found) = parts.engine.find_image(image).await? else { return Ok(()) };
    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
    let of = |key: &str| labels.get(key).map(String::as_str);
    if of(labels::INSTANCE) != Some(parts.engine.instance()) || of(labels::SERVICE) != Some(service.to_string().as_str()) {
        report.left.push(format!("image {image}: it was not built for this service"));
        return Ok(());
    }
    // An image with several tags is removed tag by tag; by its id that would need force, which also takes it from containers.
    let mut names = found.repo_tags.unwrap_or_default();
    if names.is_empty() {
        names.push(image.to_owned());
    }
    let size = found.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
    let mut gone = false;
    for name in names {
        let result = parts.engine.remove_image(&name).await.map_err(|error| error.to_string());
        gone = result == Ok(true);
        note(report, &format!("image {name}"), result);
    }
    if gone {
        report.bytes_freed += size;
    }
    Ok(())
}

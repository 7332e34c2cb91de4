//! Takes away images that no rollback is promised for, and old deployment rows with their logs.

use std::collections::BTreeSet;

use async_trait::async_trait;
use deployer::protocol::{LogStream, Removal};
use domain::id::{OrganizationId, ReleaseId, ServiceId};
use jobs::{Handler, JobError, Lease};
use serde::Deserialize;
use serde_json::json;
use store::Write;
use store::jobs::{JobRow, NewJob};
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::state::Control;

pub const KIND: &str = "releases.prune";
/// Rows of ended deployments kept per service, with their logs.
const DEPLOYMENTS_KEPT: i64 = 200;

#[derive(Deserialize)]
struct Payload {
    organization: OrganizationId,
    service: ServiceId,
}

impl Control {
    pub(crate) async fn enqueue_prune(
        &self,
        write: &mut Write,
        organization: OrganizationId,
        service: ServiceId,
    ) -> std::result::Result<(), store::StoreError> {
        let payload = json!({ "organization": organization, "service": service });
        let job = NewJob { unique_key: Some(format!("prune/{service}")), ..NewJob::new(KIND, Some(organization), payload) };
        store::jobs::enqueue(write, self.clock(), self.entropy(), job).await.map(|_| ())
    }
}

pub struct PruneJob(pub Control);

#[async_trait]
impl Handler for PruneJob {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, job: &JobRow, lease: Lease, _cancel: CancellationToken) -> std::result::Result<(), JobError> {
        let payload: Payload = serde_json::from_value(job.payload.0.clone()).map_err(JobError::fail)?;
        let control = &self.0;
        let service = store::services::find(&mut control.store().read().await?, payload.organization, payload.service).await?;
        let Some(service) = service else { return Ok(()) };
        images(control, &lease, &service).await.map_err(|error| JobError::retry(anyhow::anyhow!("{error}")))?;
        let mut write = control.store().write().await?;
        lease.check(&mut write).await?;
        let gone = store::deployments::prune(&mut write, payload.organization, payload.service, DEPLOYMENTS_KEPT).await?;
        write.commit_without_audit("retention of the deployment history").await?;
        for row in gone {
            let stream = LogStream::Deployment(row.id);
            if let Err(failure) = control.server().purge_logs(Some(stream), control.clock().now()).await {
                tracing::warn!(deployment = %row.id, error = %failure, "the log of a pruned deployment is still there");
            }
        }
        Ok(())
    }
}

/// Only images of releases beyond the current one and `releases_kept` others that served; never one that an open
/// deployment needs, never the current one, never one that a kept release shares.
async fn images(control: &Control, lease: &Lease, service: &store::services::ServiceRow) -> Result<()> {
    let kept = usize::try_from(service.configuration.0.releases_kept).unwrap_or(usize::MAX);
    let mut read = control.store().read().await?;
    let releases = store::releases::list_kept(&mut read, service.id).await?;
    // What is being rolled out, and where a waiting rollback wants to go.
    let open = store::deployments::list_open(&mut read, service.id).await?;
    drop(read);
    let needed: BTreeSet<ReleaseId> =
        open.iter().flat_map(|row| [row.release_id, row.target_release_id]).chain([service.current_release_id]).flatten().collect();
    let mut others = 0;
    let (keep, old): (Vec<_>, Vec<_>) = releases.into_iter().partition(|release| {
        if needed.contains(&release.id) {
            return true;
        }
        // One that never served is nothing to return to.
        others += usize::from(release.served_at.is_some());
        release.served_at.is_some() && others <= kept
    });
    let in_use: BTreeSet<&str> = keep.iter().map(|release| release.image.as_str()).collect();
    let images: BTreeSet<&String> = old.iter().map(|release| &release.image).filter(|image| !in_use.contains(image.as_str())).collect();
    let images: Vec<String> = images.into_iter().cloned().collect();
    if old.is_empty() {
        return Ok(());
    }
    // First nobody may choose them any more, then they go.
    let mut write = control.store().write().await?;
    lease.check(&mut write).await?;
    for release in &old {
        store::releases::forget_image(&mut write, service.organization_id, release.id).await?;
    }
    write.commit_without_audit("retention of images").await?;
    if !images.is_empty() {
        control.server().remove(Removal::Images { service: service.id, images }).await.map_err(crate::ControlError::Server)?;
    }
    Ok(())
}

//! Takes away images that no rollback is promised for, and old deployment rows with their logs.

use async_trait::async_trait;
use deployer::protocol::{LogStream, Removal};
use domain::id::{OrganizationId, ServiceId};
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
    pub(crate) async fn enqueue_prune(&self, write: &mut Write, organization: OrganizationId, service: ServiceId) -> std::result::Result<(), store::StoreError> {
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

/// Only images of releases beyond those kept; never the current one, never one that a kept release shares.
async fn images(control: &Control, lease: &Lease, service: &store::services::ServiceRow) -> Result<()> {
    let kept = usize::try_from(service.configuration.0.releases_kept).unwrap_or(usize::MAX).max(1);
    let releases = store::releases::list_kept(&mut control.store().read().await?, service.id).await?;
    let (keep, old): (Vec<_>, Vec<_>) =
        releases.into_iter().enumerate().partition(|(place, release)| *place < kept || Some(release.id) == service.current_release_id);
    let in_use: std::collections::BTreeSet<&str> = keep.iter().map(|(_, release)| release.image.as_str()).collect();
    let images: Vec<String> = old.iter().map(|(_, release)| release.image.clone()).filter(|image| !in_use.contains(image.as_str())).collect();
    if old.is_empty() {
        return Ok(());
    }
    // First nobody may choose them any more, then they go.
    let mut write = control.store().write().await?;
    lease.check(&mut write).await?;
    for (_, release) in &old {
        store::releases::forget_image(&mut write, service.organization_id, release.id).await?;
    }
    write.commit_without_audit("retention of images").await?;
    if !images.is_empty() {
        control.server().remove(Removal::Images { service: service.id, images }).await.map_err(crate::ControlError::Server)?;
    }
    Ok(())
}

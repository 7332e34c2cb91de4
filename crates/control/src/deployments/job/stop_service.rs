use async_trait::async_trait;
use domain::id::{OrganizationId, ServiceId};
use jobs::{Handler, JobError, Lease};
use serde::Deserialize;
use store::jobs::JobRow;
use tokio_util::sync::CancellationToken;

use crate::state::Control;

pub const STOP_KIND: &str = "service.stop";

/// Stops a service, in its turn.
pub struct StopJob(pub Control);

#[derive(Deserialize)]
struct StopPayload {
    service: ServiceId,
    organization: OrganizationId,
    fence: u64,
}

#[async_trait]
impl Handler for StopJob {
    fn kind(&self) -> &'static str {
        STOP_KIND
    }

    async fn run(&self, job: &JobRow, _lease: Lease, _cancel: CancellationToken) -> Result<(), JobError> {
        let payload: StopPayload = serde_json::from_value(job.payload.0.clone()).map_err(JobError::fail)?;
        let service = store::services::find(&mut self.0.store().read().await?, payload.organization, payload.service).await?;
        if service.is_none_or(|service| !service.stopped) {
            return Ok(());
        }
        self.0.server().stop(payload.service, payload.fence).await.map_err(|failure| JobError::retry(anyhow::anyhow!("{failure}")))
    }
}

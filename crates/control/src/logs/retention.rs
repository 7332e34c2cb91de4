//! Deletes log lines past their retention, every hour: deleted, not hidden.

use async_trait::async_trait;
use chrono::TimeDelta;
use jobs::{Handler, JobError, Lease};
use store::jobs::JobRow;
use tokio_util::sync::CancellationToken;

use crate::state::Control;

pub const KIND: &str = "logs.purge";
/// Days that runtime, build and deployment logs are kept.
pub const LOG_DAYS: i64 = 14;

pub struct PurgeLogsJob(pub Control);

#[async_trait]
impl Handler for PurgeLogsJob {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, _job: &JobRow, _lease: Lease, _cancel: CancellationToken) -> Result<(), JobError> {
        let before = self.0.clock().now() - TimeDelta::days(LOG_DAYS);
        let freed = self.0.server().purge_logs(None, before).await.map_err(|failure| JobError::retry(anyhow::anyhow!("{failure}")))?;
        if freed > 0 {
            tracing::info!(bytes = freed, "log lines past their retention were deleted");
        }
        Ok(())
    }
}

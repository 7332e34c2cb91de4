//! Closes the log of something that ended without a worker: whoever follows it sees the end.

use async_trait::async_trait;
use deployer::protocol::LogStream;
use domain::id::OrganizationId;
use jobs::{Handler, JobError, Lease};
use serde::{Deserialize, Serialize};
use store::Write;
use store::jobs::{JobRow, NewJob};
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::state::Control;

pub const KIND: &str = "logs.close";

#[derive(Serialize, Deserialize)]
struct Payload {
    stream: LogStream,
    status: String,
}

impl Control {
    pub(crate) async fn enqueue_close_log(
        &self,
        write: &mut Write,
        organization: OrganizationId,
        stream: LogStream,
        status: String,
    ) -> Result<()> {
        let payload = serde_json::to_value(Payload { stream, status }).map_err(anyhow::Error::new)?;
        store::jobs::enqueue(write, self.clock(), self.entropy(), NewJob::new(KIND, Some(organization), payload)).await?;
        Ok(())
    }
}

pub struct CloseLogJob(pub Control);

#[async_trait]
impl Handler for CloseLogJob {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, job: &JobRow, _lease: Lease, _cancel: CancellationToken) -> std::result::Result<(), JobError> {
        let Payload { stream, status } = serde_json::from_value(job.payload.0.clone()).map_err(JobError::fail)?;
        self.0.server().close_log(stream, status).await.map_err(|failure| JobError::retry(anyhow::anyhow!("{failure}")))
    }
}

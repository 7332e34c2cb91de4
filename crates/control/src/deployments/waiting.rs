//! Ends a deployment whose worker has not begun, in the unit of whoever ends it.

use deployer::protocol::LogStream;
use domain::deployment::Phase;
use domain::id::Id;
use store::Write;
use store::deployments::{DeploymentRow, End};

use crate::error::Result;
use crate::state::Control;

impl Control {
    /// Ends an open deployment that no worker has taken up, with its job and its log. `false`, and nothing changed, when a
    /// worker has it.
    pub(crate) async fn end_waiting(&self, write: &mut Write, row: &DeploymentRow, phase: Phase, end: &End) -> Result<bool> {
        let now = self.clock().now();
        // The job's row first, as its worker locks them.
        if let Some(job) = row.job_id
            && !store::jobs::cancel_waiting(write, job, now).await?
        {
            return Ok(false);
        }
        store::deployments::end(write, row.id, phase, end, now).await?;
        self.wake_after(write, row.id.uuid());
        self.enqueue_close_log(write, row.organization_id, LogStream::Deployment(row.id), crate::word(&phase)).await?;
        Ok(true)
    }

    /// Ends an open deployment, or asks its worker to: that one undoes what it began and writes the end.
    pub(crate) async fn cancel_open(&self, write: &mut Write, row: &DeploymentRow, by: &str) -> Result<()> {
        let end = End { canceled_by: Some(by.to_owned()), ..End::default() };
        if self.end_waiting(write, row, Phase::Canceled, &end).await? {
            return Ok(());
        }
        let now = self.clock().now();
        if let Some(job) = row.job_id {
            store::jobs::cancel(write, job, now).await?;
        }
        store::deployments::request_cancel(write, row.id, by, now).await?;
        Ok(())
    }
}

//! The end of a deployment: written in one unit with what follows from it; then its log is closed.

use deployer::protocol::LogStream;
use domain::deployment::{Failure, Phase, Step};
use domain::id::Id;
use jobs::JobError;
use store::StoreError;
use store::deployments::{DeploymentRow, End};

use super::Execution;
use crate::deployments::Moment;
use crate::state::Control;

/// Note of a step that a crash cut off between its effect and its outcome.
const FOUND_DONE: &str = "found done after a crash";

impl Execution<'_> {
    /// Writes the end, in one unit with what follows from it, and closes the log.
    pub(super) async fn end(&self, phase: Phase, end: End) -> Result<(), JobError> {
        let control = self.control;
        let now = control.clock().now();
        control.faults().at(Step::Record, Moment::AfterIntent);
        let letters = control.notices(self.row, phase, &end).await;
        let mut write = control.store().write().await?;
        self.lease.check(&mut write).await?;
        match store::deployments::end(&mut write, self.row.id, phase, &end, now).await {
            // Somebody ended it in the meantime (cancel of a waiting one): nothing is left to write.
            Err(StoreError::Stale { .. }) => return Ok(()),
            other => other?,
        }
        control.wake_after(&mut write, self.row.id.uuid());
        if phase == Phase::Live {
            store::deployments::conclude_open(&mut write, self.row.id, FOUND_DONE, now).await?;
        }
        control.enqueue_prune(&mut write, self.row.organization_id, self.row.service_id).await?;
        for letter in letters {
            control.post(&mut write, letter).await.map_err(|error| JobError::retry(anyhow::anyhow!("{error}")))?;
        }
        write.append_end(control, self.row, phase, &end).await?;
        write.commit().await?;
        control.faults().at(Step::Record, Moment::BeforeOutcome);
        self.close_log(&shown_end(phase, end.failure.as_ref())).await;
        Ok(())
    }

    pub(super) async fn close_log(&self, status: &str) {
        if let Err(failure) = self.control.server().close_log(LogStream::Deployment(self.row.id), status.to_owned()).await {
            tracing::warn!(deployment = %self.row.id, error = %failure, "the deployment's log could not be closed");
        }
    }
}

/// The last word of a deployment's log.
pub(super) fn shown_end(phase: Phase, failure: Option<&Failure>) -> String {
    match failure {
        Some(failure) => format!("failed: {failure}"),
        None => crate::word(&phase),
    }
}

/// The system's own entry for the end of a deployment.
trait AppendEnd {
    async fn append_end(&mut self, control: &Control, row: &DeploymentRow, phase: Phase, end: &End) -> Result<(), StoreError>;
}

impl AppendEnd for store::Write {
    async fn append_end(&mut self, control: &Control, row: &DeploymentRow, phase: Phase, end: &End) -> Result<(), StoreError> {
        use store::audit::{Actor, Chain, Record, Resource};
        let action = match phase {
            Phase::Live => "deployment.succeeded",
            Phase::Failed => "deployment.failed",
            Phase::Canceled => "deployment.canceled",
            _ => "deployment.skipped",
        };
        let mut record = Record::new(Chain::Organization(row.organization_id), Actor::system("deployer"), action);
        record.resource = Some(Resource { kind: "deployment", id: row.id.to_string(), name: None });
        record.details = serde_json::json!({ "cause": end.failure.as_ref().map(|failure| failure.cause), "service": row.service_id });
        store::audit::append(self, control.clock(), control.entropy(), record).await.map(|_| ())
    }
}

//! The durable job of a one-off command.

use std::time::Duration;

use async_trait::async_trait;
use contract::Code;
use deployer::protocol::{LogStream, RunEnd, RunOrder};
use domain::id::{Id, RunId};
use domain::permission::Permission;
use jobs::{Handler, JobError, Lease};
use serde::Deserialize;
use store::jobs::JobRow;
use store::runs::{RunRow, RunState};
use tokio_util::sync::CancellationToken;

use crate::deployments::Reader;
use crate::error::ControlError;
use crate::state::Control;

pub const KIND: &str = "run.run";
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(25 * 3600);

#[derive(Deserialize)]
struct Payload {
    run: RunId,
}

pub struct RunJob(pub Control);

#[async_trait]
impl Handler for RunJob {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn attempt_timeout(&self) -> Duration {
        ATTEMPT_TIMEOUT
    }

    async fn run(&self, job: &JobRow, lease: Lease, cancel: CancellationToken) -> Result<(), JobError> {
        let control = &self.0;
        let Some(row) = self.row(job).await? else { return Ok(()) };
        let mut write = control.store().write().await?;
        lease.check(&mut write).await?;
        store::runs::start(&mut write, row.id, control.clock().now()).await?;
        write.commit_without_audit("the state of a run is its own record").await?;
        let outcome = self.perform(&row, cancel.clone()).await;
        let (state, exit_code, reason) = match outcome {
            _ if cancel.is_cancelled() => (RunState::Canceled, None, Some("canceled".to_owned())),
            Ok(end) if end.timed_out => {
                (RunState::Failed, Some(end.exit_code), Some(format!("did not end within {} s", row.timeout_seconds)))
            }
            Ok(end) if end.out_of_memory => (RunState::Failed, Some(end.exit_code), Some("ran out of memory".to_owned())),
            Ok(end) if end.exit_code == 0 => (RunState::Succeeded, Some(0), None),
            Ok(end) => (RunState::Failed, Some(end.exit_code), None),
            // Not the command's fault: the run has the same id at the next attempt, so it does not begin twice.
            Err(ControlError::Unavailable(why)) => return Err(JobError::retry(anyhow::anyhow!(why))),
            Err(ControlError::Internal(cause)) => return Err(JobError::retry(cause)),
            Err(error) => (RunState::Failed, None, Some(error.to_string())),
        };
        self.end(&row, &lease, state, exit_code, reason).await
    }

    async fn give_up(&self, job: &JobRow, lease: Lease, reason: &str) -> Result<(), JobError> {
        match self.row(job).await? {
            Some(row) => self.end(&row, &lease, RunState::Failed, None, Some(reason.to_owned())).await,
            None => Ok(()),
        }
    }
}

impl RunJob {
    async fn row(&self, job: &JobRow) -> Result<Option<RunRow>, JobError> {
        let payload: Payload = serde_json::from_value(job.payload.0.clone()).map_err(JobError::fail)?;
        let row = store::runs::find_any(&mut self.0.store().read().await?, payload.run).await?;
        Ok(row.filter(|row| row.finished_at.is_none()))
    }

    async fn perform(&self, row: &RunRow, cancel: CancellationToken) -> Result<RunEnd, ControlError> {
        let control = &self.0;
        let facts = control.service_facts(row.organization_id, row.service_id).await?;
        if !control.still_allowed(&row.author_kind, row.author_id.as_deref(), &facts.located(), Permission::ExecWrite).await? {
            return Err(ControlError::refused(Code::Forbidden, "Whoever asked for this run has lost the right to it in the meantime."));
        }
        let release = store::releases::find(&mut control.store().read().await?, row.organization_id, row.release_id)
            .await?
            .ok_or(ControlError::NotFound("release"))?;
        let order = RunOrder {
            run: row.id,
            stream: LogStream::Run(row.id),
            desired: control.desired(&facts, &release, Reader::Run(row.id)).await?,
            command: row.command.0.clone(),
            timeout_seconds: u32::try_from(row.timeout_seconds).unwrap_or(u32::MAX),
        };
        control.server().run(order, cancel).await.map_err(ControlError::Server)
    }

    async fn end(
        &self,
        row: &RunRow,
        lease: &Lease,
        state: RunState,
        exit_code: Option<i64>,
        reason: Option<String>,
    ) -> Result<(), JobError> {
        let control = &self.0;
        let mut write = control.store().write().await?;
        lease.check(&mut write).await?;
        store::runs::end(&mut write, row.id, state, exit_code, reason.as_deref(), control.clock().now()).await?;
        control.wake_after(&mut write, row.id.uuid());
        write.commit_without_audit("the state of a run is its own record").await?;
        let status = exit_code.map_or_else(|| crate::word(&state), |code| format!("exit {code}"));
        if let Err(failure) = control.server().close_log(LogStream::Run(row.id), status).await {
            tracing::warn!(run = %row.id, error = %failure, "the run's log could not be closed");
        }
        Ok(())
    }
}

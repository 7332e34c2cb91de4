//! The durable job of a deployment: build → release → release command → rollout → after. Each step asks what is there
//! already, so a job that was killed goes on where it was. One file per step; [`stop`] says how the road may end early.

use std::time::Duration;

use async_trait::async_trait;
use deployer::protocol::Journal;
use domain::deployment::{Cause, Failure, Phase, Step};
use domain::id::{DeploymentId, ServiceId};
use domain::permission::Permission;
use jobs::{Handler, JobError, Lease};
use serde::Deserialize;
use store::deployments::{DeploymentRow, End, StepRow, Work};
use store::jobs::JobRow;
use store::releases::ReleaseRow;
use tokio_util::sync::CancellationToken;

use self::end::shown_end;
use self::stop::Stop;
use super::facts::ServiceFacts;
use super::journal::DeploymentJournal;
use crate::state::Control;

mod build;
mod command;
mod end;
mod release;
mod rollout;
mod stop;
mod stop_service;

pub use stop_service::{STOP_KIND, StopJob};

pub const KIND: &str = "deployment.run";
pub const ATTEMPTS_MAX: u32 = 5;
/// Above every build, command and health limit; what takes longer is ended with a reason.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3 * 3600);

/// Jobs of one service run one after the other.
pub(crate) fn serial_key(service: ServiceId) -> String {
    format!("service/{service}")
}

#[derive(Deserialize)]
struct Payload {
    deployment: DeploymentId,
}

pub struct DeploymentJob(pub Control);

#[async_trait]
impl Handler for DeploymentJob {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn attempt_timeout(&self) -> Duration {
        ATTEMPT_TIMEOUT
    }

    async fn run(&self, job: &JobRow, lease: Lease, cancel: CancellationToken) -> Result<(), JobError> {
        let control = &self.0;
        let id = payload(job)?;
        let Some(row) = store::deployments::find_any(&mut control.store().read().await?, id).await? else {
            return Ok(());
        };
        let work = Execution { control, lease: &lease, row: &row, cancel: &cancel };
        if row.finished_at.is_some() {
            // Its worker may have died between the end and the end of the log.
            work.close_log(&shown_end(row.phase, row.failure.as_ref().map(|failure| &failure.0))).await;
            return Ok(());
        }
        let stopping = lease.stopping().clone();
        let outcome = tokio::select! {
            outcome = work.perform() => outcome,
            () = stopping.cancelled() => return Err(JobError::Interrupted),
        };
        match outcome {
            Ok(end) => work.end(Phase::Live, end).await,
            Err(Stop::Canceled) => {
                work.end(Phase::Canceled, End::default()).await?;
                Err(JobError::Canceled)
            }
            Err(Stop::Failed(failure)) => {
                // A cancelled build ends as a failure of the build: the person asked for it, so it is `canceled`.
                if cancel.is_cancelled() {
                    work.end(Phase::Canceled, End::default()).await?;
                    return Err(JobError::Canceled);
                }
                let message = failure.to_string();
                work.end(Phase::Failed, End { failure: Some(failure), ..End::default() }).await?;
                Err(JobError::fail(anyhow::anyhow!(message)))
            }
            Err(Stop::Again(error)) => Err(JobError::retry(error)),
        }
    }

    async fn give_up(&self, job: &JobRow, lease: Lease, reason: &str) -> Result<(), JobError> {
        let id = payload(job)?;
        let control = &self.0;
        let Some(row) = store::deployments::find_any(&mut control.store().read().await?, id).await? else {
            return Ok(());
        };
        if row.finished_at.is_some() {
            return Ok(());
        }
        let cancel = CancellationToken::new();
        let work = Execution { control, lease: &lease, row: &row, cancel: &cancel };
        if row.cancel_requested_at.is_some() {
            return work.end(Phase::Canceled, End::default()).await;
        }
        let failure = Failure::new(
            Cause::WorkerLost,
            Step::Accept,
            format!("The deployment could not be brought to an end: {reason}."),
            "The release that served before serves on. Deploy again; if it happens again, give the deployment's id to the operator.",
        );
        work.end(Phase::Failed, End { failure: Some(failure), ..End::default() }).await
    }
}

fn payload(job: &JobRow) -> Result<DeploymentId, JobError> {
    serde_json::from_value::<Payload>(job.payload.0.clone()).map(|payload| payload.deployment).map_err(JobError::fail)
}

struct Execution<'a> {
    control: &'a Control,
    lease: &'a Lease,
    row: &'a DeploymentRow,
    cancel: &'a CancellationToken,
}

impl Execution<'_> {
    async fn perform(&self) -> Result<End, Stop> {
        let control = self.control;
        if self.concluded(Step::Switch).await?.is_none() {
            self.go_on()?;
        }
        let journal = self.journal(None);
        journal.before(Step::Accept).await?;
        let facts = control.service_facts(self.row.organization_id, self.row.service_id).await?;
        self.authority(&facts).await?;
        journal.after(Step::Accept, None).await?;
        let switched = self.concluded(Step::Switch).await?.is_some();
        let go_on = || if switched { Ok(()) } else { self.go_on() };
        let built = match self.row.work {
            Work::Build => Some(self.build(&facts).await?),
            Work::Release | Work::Restart => None,
        };
        go_on()?;
        // A build takes minutes: what was changed meanwhile belongs into the release.
        let facts = control.service_facts(self.row.organization_id, self.row.service_id).await?;
        let release = match self.row.work {
            Work::Restart => self.present(&facts).await?,
            Work::Build | Work::Release => self.release(&facts, built.as_ref()).await?,
        };
        go_on()?;
        if built.is_some() {
            self.release_command(&facts, &release).await?;
        }
        go_on()?;
        self.rollout(&facts, &release, built.is_some()).await
    }

    fn go_on(&self) -> Result<(), Stop> {
        if self.cancel.is_cancelled() || self.row.cancel_requested_at.is_some() { Err(Stop::Canceled) } else { Ok(()) }
    }

    fn journal(&self, release: Option<&ReleaseRow>) -> DeploymentJournal<'_> {
        DeploymentJournal {
            control: self.control,
            lease: self.lease,
            deployment: self.row.id,
            service: self.row.service_id,
            organization: self.row.organization_id,
            release: release.map(|release| (release.id, release.service_revision)),
        }
    }

    /// Whoever asked must still be allowed to when it runs.
    async fn authority(&self, facts: &ServiceFacts) -> Result<(), Stop> {
        let allowed = self
            .control
            .still_allowed(&self.row.author_kind, self.row.author_id.as_deref(), &facts.located(), Permission::DeploymentsWrite)
            .await?;
        if allowed {
            return Ok(());
        }
        Err(Stop::Failed(Failure::new(
            Cause::Configuration,
            Step::Accept,
            "Whoever asked for this deployment has lost the right to deploy in the meantime.",
            "Somebody with the right has to deploy again.",
        )))
    }

    /// The step's row, when an attempt brought it to its end.
    async fn concluded(&self, step: Step) -> Result<Option<StepRow>, Stop> {
        let steps = store::deployments::list_steps(&mut self.control.store().read().await?, self.row.id).await?;
        Ok(steps.into_iter().find(|row| row.step == step && row.outcome_at.is_some()))
    }
}

//! The rollout, and the commands that follow it.

use deployer::protocol::{ApplyOrder, Journal};
use domain::deployment::{Cause, Step};
use store::deployments::{End, Work};
use store::releases::ReleaseRow;

use super::Execution;
use super::stop::Stop;
use crate::deployments::Reader;
use crate::deployments::facts::ServiceFacts;
use crate::deployments::journal::DeploymentJournal;

const AFTER_COMMAND_TIMEOUT_SECONDS: u32 = 3600;

impl Execution<'_> {
    pub(super) async fn rollout(&self, facts: &ServiceFacts, release: &ReleaseRow, built: bool) -> Result<End, Stop> {
        let control = self.control;
        let journal = self.journal(Some(release));
        let order = ApplyOrder {
            operation: self.row.id,
            fence: u64::try_from(self.row.fence).unwrap_or(0),
            desired: control.desired(facts, release, Reader::Deployment(self.row.id)).await?,
            replace: self.row.work == Work::Restart,
        };
        let applied = match control.server().apply(order, &journal, self.cancel.clone()).await {
            Ok(applied) => applied,
            // It serves: what failed is the leaving of the old one, which the sweeper repairs.
            Err(failure) if failure.cause != Cause::WorkerLost && self.concluded(Step::Switch).await?.is_some() => {
                return Ok(End { warning: Some(format!("{failure} The new release serves all the same.")), ..End::default() });
            }
            Err(failure) => return Err(failure.into()),
        };
        if self.concluded(Step::Switch).await?.is_none() {
            // Switched by an attempt that died before it could say so: the server answered the repeat with the first result.
            journal.before(Step::Switch).await?;
            journal.after(Step::Switch, None).await?;
        }
        let warning = if built { self.after(facts, release, &journal).await? } else { None };
        let count = |number: u64| i64::try_from(number).ok();
        Ok(End {
            healthy_after_ms: count(applied.healthy_after_ms),
            requests_cut: count(applied.requests_cut),
            gap_ms: applied.gap_ms.and_then(count),
            warning,
            ..End::default()
        })
    }

    /// Post-deploy commands. The new release serves already, so a failure of theirs is a warning and not a rollback.
    async fn after(&self, facts: &ServiceFacts, release: &ReleaseRow, journal: &DeploymentJournal<'_>) -> Result<Option<String>, Stop> {
        let configuration = &release.configuration.0;
        let first = !store::releases::another_served(&mut self.control.store().read().await?, self.row.service_id, release.id).await?;
        let commands = [
            (configuration.post_deploy_command.clone(), "post-deploy"),
            (configuration.first_deploy_command.clone().filter(|_| first), "first-deploy"),
        ];
        if commands.iter().all(|(command, _)| command.is_none()) {
            return Ok(None);
        }
        if let Some(done) = self.concluded(Step::PostDeploy).await? {
            return Ok(done.note);
        }
        journal.before(Step::PostDeploy).await?;
        let mut warning = None;
        for (command, what) in commands {
            let Some(command) = command else { continue };
            let failure = match self.once(facts, release, command, what, AFTER_COMMAND_TIMEOUT_SECONDS).await {
                Ok(failure) => failure,
                Err(Stop::Failed(failure)) => Some(failure),
                Err(stop) => return Err(stop),
            };
            if let Some(failure) = failure {
                warning = Some(format!("{} The new release serves all the same.", failure.message));
                break;
            }
        }
        journal.after(Step::PostDeploy, warning.clone()).await?;
        Ok(warning)
    }
}

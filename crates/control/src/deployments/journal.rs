//! The durable record of a deployment's steps, written under the job's lease: a worker that lost it cannot write.

use async_trait::async_trait;
use deployer::protocol::Journal;
use domain::deployment::{Cause, Failure, Phase, Step};
use domain::id::{DeploymentId, Id, OrganizationId, ReleaseId, ServiceId};
use jobs::Lease;
use store::StoreError;

use super::faults::Moment;
use crate::state::Control;

pub(super) struct DeploymentJournal<'a> {
    pub control: &'a Control,
    pub lease: &'a Lease,
    pub deployment: DeploymentId,
    pub service: ServiceId,
    pub organization: OrganizationId,
    /// Becomes the service's current release when the switch is done, with the service's revision that it froze.
    pub release: Option<(ReleaseId, i64)>,
}

impl DeploymentJournal<'_> {
    async fn intend(&self, step: Step) -> Result<(), StoreError> {
        let now = self.control.clock().now();
        let mut write = self.control.store().write().await?;
        self.lease.check(&mut write).await?;
        let repeated = store::deployments::intend(&mut write, self.deployment, step, now).await?.outcome_at.is_some();
        // From the switch on the release serves: the phase stays `live`. A step that is gone through again after a crash
        // does not take the phase back either: a deployment that serves must not look as if it could be canceled.
        if !repeated && !matches!(step, Step::Drain | Step::Stop | Step::PostDeploy | Step::Record) {
            store::deployments::set_phase(&mut write, self.deployment, step.phase(), now).await?;
        }
        write.commit_without_audit("the steps of a deployment are its own record").await
    }

    async fn conclude(&self, step: Step, note: Option<&str>) -> Result<(), StoreError> {
        let now = self.control.clock().now();
        let mut write = self.control.store().write().await?;
        self.lease.check(&mut write).await?;
        let first = store::deployments::conclude(&mut write, self.deployment, step, note, now).await?;
        if let (Step::Switch, Some((release, revision)), true) = (step, self.release, first) {
            // Seen healthy through the ingress: from now on this release is the one that serves.
            store::deployments::set_phase(&mut write, self.deployment, Phase::Live, now).await?;
            store::services::set_released(&mut write, self.organization, self.service, release, revision).await?;
            self.control.wake_after(&mut write, self.deployment.uuid());
            store::releases::mark_served(&mut write, self.organization, release, now).await?;
        }
        write.commit_without_audit("the steps of a deployment are its own record").await
    }
}

#[async_trait]
impl Journal for DeploymentJournal<'_> {
    async fn before(&self, step: Step) -> Result<(), Failure> {
        self.intend(step).await.map_err(|error| unwritten(step, &error))?;
        self.control.faults().at(step, Moment::AfterIntent);
        Ok(())
    }

    async fn after(&self, step: Step, note: Option<String>) -> Result<(), Failure> {
        self.control.faults().at(step, Moment::BeforeOutcome);
        self.conclude(step, note.as_deref()).await.map_err(|error| unwritten(step, &error))
    }
}

/// A step that cannot be recorded is not done: the job's next attempt goes on from here.
fn unwritten(step: Step, error: &StoreError) -> Failure {
    Failure::new(
        Cause::WorkerLost,
        step,
        format!("The step could not be recorded: {error}."),
        "Seaway goes on by itself as soon as its database answers.",
    )
}

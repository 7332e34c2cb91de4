//! The release: frozen once, or the one that serves; and its command before any traffic.

use deployer::protocol::{Built, Journal};
use domain::deployment::{Cause, Failure, Step};
use store::releases::ReleaseRow;

use super::Execution;
use super::stop::Stop;
use crate::deployments::facts::ServiceFacts;
use crate::deployments::freeze::Ingredients;

const RELEASE_COMMAND_TIMEOUT_SECONDS: u32 = 3600;

impl Execution<'_> {
    /// The release that a restart puts up again.
    pub(super) async fn present(&self, facts: &ServiceFacts) -> Result<ReleaseRow, Stop> {
        let control = self.control;
        let found = match facts.service.current_release_id {
            Some(id) => store::releases::find(&mut control.store().read().await?, self.row.organization_id, id).await?,
            None => None,
        };
        let release = found.ok_or_else(|| {
            Stop::Failed(Failure::new(Cause::Configuration, Step::Release, "The service has no release yet.", "Deploy it first."))
        })?;
        if self.row.release_id.is_none() {
            let mut write = control.store().write().await?;
            self.lease.check(&mut write).await?;
            store::deployments::set_release(&mut write, self.row.id, release.id).await?;
            write.commit_without_audit("the steps of a deployment are its own record").await?;
        }
        Ok(release)
    }

    pub(super) async fn release(&self, facts: &ServiceFacts, built: Option<&Built>) -> Result<ReleaseRow, Stop> {
        let journal = self.journal(None);
        journal.before(Step::Release).await?;
        // A repeat after a crash has to see a release that was stored meanwhile.
        let row = store::deployments::find_any(&mut self.control.store().read().await?, self.row.id).await?;
        let row = row.ok_or_else(|| Stop::Again(anyhow::anyhow!("the deployment is gone")))?;
        let frozen = self.control.freeze(Ingredients { row: &row, facts, built }, self.lease).await;
        let release = frozen.map_err(|error| Stop::from(error).at(Step::Release))?;
        journal.after(Step::Release, Some(format!("v{}", release.version))).await?;
        Ok(release)
    }

    /// Runs the release command once, in the new image, before any traffic.
    pub(super) async fn release_command(&self, facts: &ServiceFacts, release: &ReleaseRow) -> Result<(), Stop> {
        let Some(command) = release.configuration.0.release_command.clone() else { return Ok(()) };
        if self.concluded(Step::ReleaseCommand).await?.is_some() {
            return Ok(());
        }
        let journal = self.journal(None);
        journal.before(Step::ReleaseCommand).await?;
        let end = self.once(facts, release, command, "release", RELEASE_COMMAND_TIMEOUT_SECONDS).await?;
        if let Some(failure) = end {
            return Err(Stop::Failed(failure));
        }
        journal.after(Step::ReleaseCommand, None).await?;
        Ok(())
    }
}

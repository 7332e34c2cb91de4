//! Compares what is intended with what runs, every minute and after a start, and repairs both ways.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::TimeDelta;
use contract::cleanup::Cleanup;
use deployer::protocol::{Intended, IntendedService, SweepMode, SweepReport};
use domain::deployment::{Phase, Trigger};
use jobs::{Handler, JobError, Lease};
use store::deployments::{DeploymentRow, Work};
use store::jobs::JobRow;
use tokio_util::sync::CancellationToken;

use crate::access::{Origin, Principal};
use crate::deployments::Request;
use crate::error::{ControlError, Result};
use crate::state::Control;

pub const KIND: &str = "server.sweep";

/// After a repair that failed, the next one waits this long: not a failed deployment every minute.
const REPAIR_PAUSE: TimeDelta = TimeDelta::minutes(15);

fn failed_repair(last: &DeploymentRow) -> bool {
    last.phase == Phase::Failed && last.trigger_kind == Trigger::Restart && last.author_kind == crate::deployments::system_author().kind
}

impl Control {
    /// What should be there, read in one moment.
    async fn intended(&self) -> Result<Intended> {
        let mut read = self.store().read().await?;
        let mut services = BTreeMap::new();
        for service in store::services::all(&mut read).await? {
            let kept = store::releases::list_kept(&mut read, service.id).await?;
            services.insert(
                service.id,
                IntendedService {
                    release: service.current_release_id,
                    images_kept: kept.into_iter().map(|release| release.image).collect(),
                    stopped: service.stopped,
                },
            );
        }
        let environments = store::environments::all(&mut read).await?.into_iter().map(|row| row.id).collect();
        let volumes = store::volumes::all(&mut read).await?.into_iter().map(|row| row.id).collect();
        let deployments = store::deployments::list_all_open(&mut read).await?.into_iter().map(|row| row.id).collect();
        Ok(Intended { services, environments, volumes, deployments })
    }

    /// Runs a sweep; `Simulate` only says what would be done.
    pub async fn sweep(&self, mode: SweepMode) -> Result<SweepReport> {
        let intended = self.intended().await?;
        let report = self.server().sweep(intended, mode).await.map_err(ControlError::Server)?;
        if mode == SweepMode::Act {
            for service in &report.missing {
                self.bring_back(*service).await?;
            }
            self.tell_of_crashes(&report.crashed).await;
        }
        Ok(report)
    }

    /// What a clean-up would do; nothing is changed.
    pub async fn plan_cleanup(&self) -> Result<Cleanup> {
        Ok(shown(self.sweep(SweepMode::Simulate).await?))
    }

    /// Cleans up now.
    pub async fn clean_up(&self, principal: &Principal, origin: &Origin) -> Result<Cleanup> {
        let done = shown(self.sweep(SweepMode::Act).await?);
        let mut write = self.store().write().await?;
        self.record_own(principal, origin, "instance.cleaned").detail("removed", done.removed.len()).append(&mut write).await?;
        write.commit().await?;
        Ok(done)
    }

    /// A service whose release runs nowhere gets a deployment that puts it up again.
    async fn bring_back(&self, service: domain::id::ServiceId) -> Result<()> {
        let mut write = self.store().write().await?;
        let Some(row) = store::services::find_any(&mut write, service).await? else { return Ok(()) };
        if row.stopped || row.deleting_at.is_some() || !store::deployments::list_open(&mut write, service).await?.is_empty() {
            return Ok(());
        }
        let last = store::deployments::find_last(&mut write, service).await?;
        if last.is_some_and(|last| failed_repair(&last) && last.finished_at.is_some_and(|end| self.clock().now() - end < REPAIR_PAUSE)) {
            return Ok(());
        }
        let request = Request {
            organization: row.organization_id,
            service,
            delivery: format!("sweep/{}", row.fence),
            trigger: Trigger::Restart,
            work: Work::Restart,
            title: Some("Replicas were missing and are put up again".to_owned()),
            reference: None,
            commit: None,
            upload: None,
            use_cache: true,
            target: None,
            formation: None,
            warning: None,
            author: crate::deployments::system_author(),
        };
        self.take_in(&mut write, request).await?;
        write.commit_without_audit("a repair of the sweeper; the deployment's end is audited").await?;
        Ok(())
    }
}

fn shown(report: SweepReport) -> Cleanup {
    Cleanup { removed: report.removed, repaired: report.repaired, bytes_freed: report.bytes_freed }
}

pub struct SweepJob(pub Control);

#[async_trait]
impl Handler for SweepJob {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, _job: &JobRow, _lease: Lease, _cancel: CancellationToken) -> std::result::Result<(), JobError> {
        let report = self.0.sweep(SweepMode::Act).await.map_err(|error| JobError::retry(anyhow::anyhow!("{error}")))?;
        if !report.removed.is_empty() || !report.repaired.is_empty() {
            tracing::info!(removed = ?report.removed, repaired = ?report.repaired, bytes = report.bytes_freed, "the sweep repaired differences");
        }
        Ok(())
    }
}

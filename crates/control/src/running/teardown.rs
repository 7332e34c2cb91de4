//! Takes a deleted service away: containers, routes, images, logs, volumes that were named; then its rows. Ends only when
//! nothing is left, or says what is.

use async_trait::async_trait;
use deployer::protocol::{LogStream, Removal};
use domain::id::{EnvironmentId, OrganizationId, ServiceId, VolumeId};
use jobs::{Handler, JobError, Lease};
use serde::{Deserialize, Serialize};
use store::Write;
use store::jobs::{JobRow, NewJob, Pool};
use tokio_util::sync::CancellationToken;

use crate::deployments::job::serial_key;
use crate::state::Control;

pub const KIND: &str = "service.teardown";
/// A server that is away for days must not leave a half-removed service: with a pause of five minutes this is a month.
const ATTEMPTS_MAX: u32 = 10_000;
pub const ENVIRONMENT_KIND: &str = "environment.teardown";

#[derive(Serialize, Deserialize)]
struct Payload {
    organization: OrganizationId,
    service: ServiceId,
    volumes: Vec<VolumeId>,
}

#[derive(Serialize, Deserialize)]
struct EnvironmentPayload {
    organization: OrganizationId,
    environment: EnvironmentId,
}

impl Control {
    /// Asks for the teardown of a service that was marked as deleting in the same unit. Open deployments are cancelled.
    pub(crate) async fn enqueue_teardown(
        &self,
        write: &mut Write,
        organization: OrganizationId,
        service: ServiceId,
        volumes: Vec<VolumeId>,
    ) -> crate::Result<()> {
        for open in store::deployments::list_open(write, service).await? {
            self.cancel_open(write, &open, "the deletion of the service").await?;
        }
        let payload = serde_json::to_value(Payload { organization, service, volumes }).map_err(anyhow::Error::new)?;
        let job = NewJob {
            pool: Pool::Deployments,
            serial_key: Some(serial_key(service)),
            unique_key: Some(format!("teardown/{service}")),
            attempts_max: ATTEMPTS_MAX,
            ..NewJob::new(KIND, Some(organization), payload)
        };
        store::jobs::enqueue(write, self.clock(), self.entropy(), job).await?;
        Ok(())
    }

    /// Asks for the removal of an environment's network, after its services are gone.
    pub(crate) async fn enqueue_environment_teardown(
        &self,
        write: &mut Write,
        organization: OrganizationId,
        environment: EnvironmentId,
    ) -> crate::Result<()> {
        let payload = serde_json::to_value(EnvironmentPayload { organization, environment }).map_err(anyhow::Error::new)?;
        let job = NewJob {
            pool: Pool::Deployments,
            unique_key: Some(format!("teardown/{environment}")),
            attempts_max: ATTEMPTS_MAX,
            ..NewJob::new(ENVIRONMENT_KIND, Some(organization), payload)
        };
        store::jobs::enqueue(write, self.clock(), self.entropy(), job).await?;
        Ok(())
    }
}

pub struct TeardownJob(pub Control);

#[async_trait]
impl Handler for TeardownJob {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, job: &JobRow, lease: Lease, _cancel: CancellationToken) -> Result<(), JobError> {
        let payload: Payload = serde_json::from_value(job.payload.0.clone()).map_err(JobError::fail)?;
        let control = &self.0;
        let removal = Removal::Service { service: payload.service, volumes: payload.volumes };
        let report = control.server().remove(removal).await.map_err(|failure| JobError::retry(anyhow::anyhow!("{failure}")))?;
        if !report.left.is_empty() {
            return Err(JobError::retry(anyhow::anyhow!("still there: {}", report.left.join("; "))));
        }
        let now = control.clock().now();
        let streams: Vec<LogStream> = {
            let mut read = control.store().read().await?;
            let deployments = store::deployments::list_ids(&mut read, payload.organization, payload.service).await?;
            let runs = store::runs::list_ids(&mut read, payload.organization, payload.service).await?;
            let deployments = deployments.into_iter().map(LogStream::Deployment);
            std::iter::once(LogStream::Service(payload.service)).chain(deployments).chain(runs.into_iter().map(LogStream::Run)).collect()
        };
        for stream in streams {
            control.server().purge_logs(Some(stream), now).await.map_err(|failure| JobError::retry(anyhow::anyhow!("{failure}")))?;
        }
        let mut write = control.store().write().await?;
        lease.check(&mut write).await?;
        store::runs::delete_of_service(&mut write, payload.organization, payload.service).await?;
        store::deployments::delete_of_service(&mut write, payload.organization, payload.service).await?;
        store::releases::delete_of_service(&mut write, payload.organization, payload.service).await?;
        store::services::delete(&mut write, payload.organization, payload.service).await?;
        write.commit_without_audit("the deletion was audited when it was asked for").await?;
        Ok(())
    }
}

pub struct EnvironmentTeardownJob(pub Control);

#[async_trait]
impl Handler for EnvironmentTeardownJob {
    fn kind(&self) -> &'static str {
        ENVIRONMENT_KIND
    }

    async fn run(&self, job: &JobRow, lease: Lease, _cancel: CancellationToken) -> Result<(), JobError> {
        let payload: EnvironmentPayload = serde_json::from_value(job.payload.0.clone()).map_err(JobError::fail)?;
        let control = &self.0;
        let left =
            store::services::count_in_environment(&mut control.store().read().await?, payload.organization, payload.environment).await?;
        if left > 0 {
            return Err(JobError::retry(anyhow::anyhow!("{left} services are still being taken away")));
        }
        let removal = Removal::Environment { environment: payload.environment };
        let report = control.server().remove(removal).await.map_err(|failure| JobError::retry(anyhow::anyhow!("{failure}")))?;
        if !report.left.is_empty() {
            return Err(JobError::retry(anyhow::anyhow!("still there: {}", report.left.join("; "))));
        }
        let mut write = control.store().write().await?;
        lease.check(&mut write).await?;
        let row = store::environments::find(&mut write, payload.organization, payload.environment).await?;
        store::environments::delete(&mut write, payload.organization, payload.environment).await?;
        if let Some(row) = row {
            delete_empty_project(&mut write, payload.organization, row.project_id).await?;
        }
        write.commit_without_audit("the deletion was audited when it was asked for").await?;
        Ok(())
    }
}

/// The last environment of a deleted project takes the project with it.
async fn delete_empty_project(
    write: &mut Write,
    organization: OrganizationId,
    project: domain::id::ProjectId,
) -> Result<(), store::StoreError> {
    write.exclusive(&format!("project/{project}")).await?;
    let deleting = store::projects::find(write, organization, project).await?.is_some_and(|row| row.deleting_at.is_some());
    if deleting && store::environments::all_of_project(write, organization, project).await?.is_empty() {
        store::projects::delete(write, organization, project).await?;
    }
    Ok(())
}

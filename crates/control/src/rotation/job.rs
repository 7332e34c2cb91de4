//! Keys as background work: rotation on request, and what must be done now and then.

use std::time::Duration;

use async_trait::async_trait;
use jobs::{Handler, JobError, Lease};
use serde::Deserialize;
use serde_json::json;
use store::jobs::{JobRow, NewJob};
use store::{Write, data_keys};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use vault::USES_BEFORE_ROTATION;

use crate::error::Result;
use crate::state::Control;

pub const ROTATE: &str = "keys.rotate";
pub const TEND: &str = "keys.tend";
pub const TEND_EVERY: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
struct Payload {
    tenant: Uuid,
}

impl Control {
    /// Rotates a tenant's data key in the background; a second request while one waits is the same one.
    pub async fn enqueue_data_key_rotation(&self, write: &mut Write, tenant: Uuid) -> Result<()> {
        let job = NewJob { unique_key: Some(format!("{ROTATE}/{tenant}")), ..NewJob::new(ROTATE, None, json!({ "tenant": tenant })) };
        store::jobs::enqueue(write, self.clock(), self.entropy(), job).await?;
        Ok(())
    }

    /// Stores the counts of uses, orders new data keys where they are due, finishes what was interrupted, destroys what is over.
    ///
    /// # Errors
    /// The first failure; what was done stays done.
    pub async fn tend_keys(&self) -> Result<()> {
        if self.keys().sealed_reason().is_some() {
            return Ok(());
        }
        self.keys().store_uses(self.store()).await?;
        let rotation = self.rotation();
        match self.keys().files() {
            // Killed in the middle; while another process is at it, it is left alone.
            Some(files) if files.is_rotating() => match rotation.rotate_master(files).await {
                Ok(_) | Err(crate::ControlError::Refused { .. }) => {}
                Err(error) => return Err(error),
            },
            Some(_) => {}
            None => drop(rotation.adopt_master().await?),
        }
        let due = i64::try_from(USES_BEFORE_ROTATION).unwrap_or(i64::MAX);
        for row in data_keys::list_progress(&mut self.store().read().await?).await? {
            if row.state == data_keys::KeyState::Current && row.uses >= due {
                let mut write = self.store().write().await?;
                self.enqueue_data_key_rotation(&mut write, row.tenant).await?;
                write.commit_without_audit("the rotation itself is audited").await?;
            }
        }
        rotation.resume_data_keys().await?;
        rotation.destroy_retired().await?;
        Ok(())
    }
}

pub struct RotateJob(pub Control);

#[async_trait]
impl Handler for RotateJob {
    fn kind(&self) -> &'static str {
        ROTATE
    }

    async fn run(&self, job: &JobRow, _lease: Lease, _cancel: CancellationToken) -> std::result::Result<(), JobError> {
        let payload: Payload = serde_json::from_value(job.payload.0.clone()).map_err(JobError::fail)?;
        // Safe beside another run of the same: both do the same steps, and each step happens once.
        self.0.rotation().rotate_data_key(payload.tenant).await.map_err(|error| JobError::retry(anyhow::anyhow!("{error}")))?;
        Ok(())
    }
}

pub struct TendJob(pub Control);

#[async_trait]
impl Handler for TendJob {
    fn kind(&self) -> &'static str {
        TEND
    }

    async fn run(&self, _job: &JobRow, _lease: Lease, _cancel: CancellationToken) -> std::result::Result<(), JobError> {
        self.0.tend_keys().await.map_err(|error| JobError::retry(anyhow::anyhow!("{error}")))
    }
}

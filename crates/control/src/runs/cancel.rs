use contract::Code;
use contract::runs::Run;
use domain::id::{Id, RunId};
use domain::permission::Permission;
use store::runs::RunState;

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Ends a run: its container is stopped and removed.
    pub async fn cancel_run(&self, actor: &Actor) -> Result<Run> {
        actor.require(Permission::ExecWrite)?;
        let id = RunId::from_uuid(actor.located.id);
        let now = self.clock().now();
        let mut write = self.store().write().await?;
        let row = store::runs::find(&mut write, actor.organization, id).await?.ok_or(ControlError::NotFound("run"))?;
        if row.finished_at.is_some() {
            return Err(ControlError::refused(Code::Conflict, "The run has ended already."));
        }
        if let Some(job) = row.job_id {
            store::jobs::cancel(&mut write, job, now).await?;
        }
        if row.state == RunState::Queued {
            store::runs::end(&mut write, id, RunState::Canceled, None, Some("canceled before it began"), now).await?;
        }
        self.record(actor, "run.canceled").resource("run", id, None).append(&mut write).await?;
        write.commit().await?;
        self.read_run(actor, None).await
    }
}

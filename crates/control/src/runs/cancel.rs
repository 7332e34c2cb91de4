use contract::Code;
use contract::runs::Run;
use deployer::protocol::LogStream;
use domain::id::{Id, RunId};
use domain::permission::Permission;
use store::jobs::Cancel;
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
        let waits = match row.job_id {
            Some(job) => store::jobs::cancel(&mut write, job, now).await? == Cancel::Canceled,
            None => true,
        };
        if waits {
            self.enqueue_close_log(&mut write, actor.organization, LogStream::Run(id), crate::word(&RunState::Canceled)).await?;
            store::runs::end(&mut write, id, RunState::Canceled, None, Some("canceled before it began"), now).await?;
            self.wake_after(&mut write, id.uuid());
        }
        self.record(actor, "run.canceled").resource("run", id, None).append(&mut write).await?;
        write.commit().await?;
        self.read_run(actor, None).await
    }
}

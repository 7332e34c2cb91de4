use contract::Page;
use contract::page::PageQuery;
use contract::runs::Run;
use domain::id::{Id, RunId};
use domain::permission::Permission;
use store::runs::RunRow;

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    pub async fn list_runs(&self, actor: &Actor, query: &PageQuery) -> Result<Page<Run>> {
        actor.require(Permission::ServicesRead)?;
        let service = actor.service()?;
        let list = format!("runs/{service}");
        let page = self.page_of(&list, query)?;
        let listing = store::runs::list(&mut self.store().read().await?, actor.organization, service, &page).await?;
        Ok(self.listed(&list, listing, shown))
    }

    /// One run; with `wait`, at its end or after so many seconds.
    pub async fn read_run(&self, actor: &Actor, wait_seconds: Option<u32>) -> Result<Run> {
        actor.require(Permission::ServicesRead)?;
        let id = RunId::from_uuid(actor.located.id);
        let find =
            async || store::runs::find(&mut self.store().read().await?, actor.organization, id).await?.ok_or(ControlError::NotFound("run"));
        let ended = async || Ok::<_, ControlError>(find().await?.finished_at.is_some());
        self.wakes().wait(id.uuid(), wait_seconds, ended).await?;
        Ok(shown(find().await?))
    }
}

pub(super) fn shown(row: RunRow) -> Run {
    Run {
        id: row.id,
        service: row.service_id,
        release: row.release_id,
        command: row.command.0,
        state: crate::word(&row.state),
        exit_code: row.exit_code,
        reason: row.reason,
        author: row.author_name,
        timeout_seconds: u32::try_from(row.timeout_seconds).unwrap_or(0),
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
    }
}

use contract::releases::{Release, UpdateRelease};
use domain::id::{Id, ReleaseId};
use domain::permission::Permission;

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Marks a release as irreversible, or takes the mark away.
    pub async fn update_release(&self, actor: &Actor, wanted: UpdateRelease) -> Result<Release> {
        actor.require(Permission::DeploymentsWrite)?;
        let id = ReleaseId::from_uuid(actor.located.id);
        let mut write = self.store().write().await?;
        store::releases::find(&mut write, actor.organization, id).await?.ok_or(ControlError::NotFound("release"))?;
        store::releases::mark_irreversible(&mut write, actor.organization, id, wanted.irreversible).await?;
        self.record(actor, "release.marked")
            .resource("release", id, None)
            .detail("irreversible", wanted.irreversible)
            .append(&mut write)
            .await?;
        write.commit().await?;
        self.read_release(actor).await
    }
}

//! Denied decisions: written down, but not so often that an attacker fills the log.

use chrono::TimeDelta;
use domain::id::Id;
use domain::permission::Permission;

use crate::Control;
use crate::access::Actor;
use crate::error::Result;

/// One record per person and operation within this time.
const EVERY: TimeDelta = TimeDelta::minutes(1);

impl Control {
    /// Records that an actor wanted something that role or token do not allow. The gate calls it for every operation.
    pub async fn record_denied(&self, actor: &Actor, operation: &'static str, permission: Permission) -> Result<()> {
        let key = self.signer().sign("denied", &[actor.principal.user.uuid().as_bytes().as_slice(), operation.as_bytes()].concat());
        if self.windows().count(key, EVERY, self.clock().now()) > 1 {
            return Ok(());
        }
        let mut write = self.store().write().await?;
        self.record(actor, "access.denied").detail("operation", operation).detail("permission", permission).append(&mut write).await?;
        write.commit().await?;
        Ok(())
    }
}

use contract::organizations::Organization;
use domain::permission::Permission;

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// The actor's organization.
    pub async fn read_organization(&self, actor: &Actor) -> Result<Organization> {
        actor.require(Permission::OrganizationRead)?;
        let row = store::organizations::find(&mut self.store().read().await?, actor.organization).await?;
        row.map(|row| super::shown(row, actor.role)).ok_or(ControlError::NotFound("organization"))
    }
}

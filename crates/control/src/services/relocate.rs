use contract::Code;
use contract::services::{MoveService, Service};
use domain::permission::Permission;
use store::environments::EnvironmentRow;
use store::{environments, services};

use crate::access::{Actor, Via};
use crate::error::{ControlError, Result};
use crate::named::taken;
use crate::state::Control;

impl Control {
    /// Hangs the service below another environment of the same organization. Containers, routes, data and app name stay; the
    /// next release joins the other environment's network and variables.
    ///
    /// # Errors
    /// `not-found`, `name-taken`, `conflict` while either is being deleted.
    pub async fn move_service(&self, actor: &Actor, wanted: MoveService) -> Result<Service> {
        actor.require(Permission::ServicesWrite)?;
        let mut write = self.store().write().await?;
        let row = services::get_locked(&mut write, actor.organization, actor.service()?).await?;
        let target = environments::find(&mut write, actor.organization, wanted.environment).await?;
        let target = target.ok_or(ControlError::NotFound("environment"))?;
        actor.admits_environment(&target)?;
        if row.deleting_at.is_some() || target.deleting_at.is_some() {
            return Err(ControlError::refused(Code::Conflict, "The service or the environment is being deleted."));
        }
        services::set_parent(&mut write, actor.organization, row.id, target.project_id, target.id).await.map_err(taken(
            "services_slug",
            "a service",
            &row.slug,
        ))?;
        let moved = services::get_locked(&mut write, actor.organization, row.id).await?;
        self.record(actor, "service.moved")
            .resource("service", row.id, Some(&row.name))
            .detail("from", row.environment_id)
            .detail("to", target.id)
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(self.shown_service(moved))
    }
}

impl Actor {
    /// A second id reaches no further than the first: not what the actor does not see, and not beyond what a token is confined
    /// to. Whoever sees single services of an environment puts none into it.
    ///
    /// # Errors
    /// `not-found`.
    pub(crate) fn admits_environment(&self, target: &EnvironmentRow) -> Result<()> {
        if !self.sight.environment(target.project_id, target.id) || self.sight.services.is_some() {
            return Err(ControlError::NotFound("environment"));
        }
        let Via::Token { restriction, .. } = &self.principal.via else { return Ok(()) };
        let admitted = restriction.project.is_none_or(|project| project == target.project_id)
            && restriction.environment.is_none_or(|environment| environment == target.id)
            && restriction.service.is_none();
        if admitted { Ok(()) } else { Err(ControlError::NotFound("environment")) }
    }
}

use contract::services::{DuplicateService, Service};
use domain::permission::Permission;
use store::{environments, projects, services};

use crate::access::Actor;
use crate::environments::Copies;
use crate::error::{ControlError, Result};
use crate::named::Faults;
use crate::state::Control;

impl Control {
    /// A copy in the same or another environment of the organization: settings and, if wanted, variables; no data.
    ///
    /// # Errors
    /// `invalid`, `name-taken`, `not-found` for an environment that is not the organization's.
    pub async fn duplicate_service(&self, actor: &Actor, wanted: DuplicateService) -> Result<Service> {
        actor.require(Permission::ServicesWrite)?;
        actor.require(Permission::VariablesWrite)?;
        let mut faults = Faults::default();
        faults.named(Some(&wanted.name), None, None);
        let slug = faults.slug(wanted.slug, &wanted.name);
        faults.end()?;
        let mut read = self.store().read().await?;
        let old = services::find(&mut read, actor.organization, actor.service()?).await?.ok_or(ControlError::NotFound("service"))?;
        let target = wanted.environment.unwrap_or(old.environment_id);
        let environment = environments::find(&mut read, actor.organization, target).await?;
        let environment = environment.filter(|row| row.deleting_at.is_none()).ok_or(ControlError::NotFound("environment"))?;
        actor.admits_environment(&environment)?;
        let project =
            projects::find(&mut read, actor.organization, environment.project_id).await?.ok_or(ControlError::NotFound("project"))?;
        drop(read);
        let row = self.fresh_service(&old, &environment, slug, wanted.name, &project.slug);
        let id = row.id;
        let mut copies = Copies::default();
        self.copy_service(actor, row, old.id, wanted.variables, &mut copies).await?;
        let mut write = self.store().write().await?;
        self.write_copies(&mut write, copies).await?;
        let row = services::get_locked(&mut write, actor.organization, id).await?;
        self.record(actor, "service.duplicated")
            .resource("service", row.id, Some(&row.name))
            .detail("from", old.id)
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(self.shown_service(row))
    }
}

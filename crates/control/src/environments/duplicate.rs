use contract::projects::{Duplicate, Environment};
use domain::permission::Permission;
use domain::project::EnvironmentKind;
use store::{environments, projects, services};

use super::copy::{Copies, chosen};
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// A new environment of the same project with the same services: settings and, if wanted, variables; no data.
    ///
    /// # Errors
    /// `invalid`, `name-taken`.
    pub async fn duplicate_environment(&self, actor: &Actor, wanted: Duplicate) -> Result<Environment> {
        actor.require(Permission::ProjectsWrite)?;
        actor.require(Permission::ServicesWrite)?;
        actor.require(Permission::VariablesWrite)?;
        let from = actor.environment()?;
        let mut read = self.store().read().await?;
        let old = environments::find(&mut read, actor.organization, from).await?.ok_or(ControlError::NotFound("environment"))?;
        let project = projects::find(&mut read, actor.organization, old.project_id).await?.ok_or(ControlError::NotFound("project"))?;
        let all = services::all_of_environment(&mut read, actor.organization, from).await?;
        drop(read);
        let chosen = chosen(all, wanted.services.as_deref())?;
        let kind = if old.kind == EnvironmentKind::Production { EnvironmentKind::Staging } else { old.kind };
        let new = self.new_environment(actor, wanted.name, wanted.slug, kind)?;
        let mut copies = Copies::default();
        self.copy_environment(actor, &project.slug, &old, &new, &chosen, wanted.variables, &mut copies).await?;
        let mut write = self.store().write().await?;
        self.insert_environment(&mut write, &new).await?;
        self.write_copies(&mut write, copies).await?;
        self.record(actor, "environment.duplicated")
            .resource("environment", new.id, Some(&new.name))
            .detail("from", from)
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(super::shown(new))
    }
}

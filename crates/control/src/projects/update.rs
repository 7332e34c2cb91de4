use contract::projects::{Project, UpdateProject};
use domain::permission::Permission;
use store::{projects, tags};

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::named::{Faults, matches, stale, taken};
use crate::state::Control;

impl Control {
    /// Changes name, slug, description, icon.
    ///
    /// # Errors
    /// `invalid`, `name-taken`, `precondition-failed`.
    pub async fn update_project(&self, actor: &Actor, if_match: Option<&str>, wanted: UpdateProject) -> Result<Project> {
        actor.require(Permission::ProjectsWrite)?;
        let mut faults = Faults::default();
        faults.named(wanted.name.as_deref(), wanted.description.as_deref(), wanted.icon.as_deref());
        if let Some(slug) = &wanted.slug {
            faults.slug(Some(slug.clone()), "");
        }
        faults.end()?;
        let mut write = self.store().write().await?;
        let mut row = projects::find(&mut write, actor.organization, actor.project()?).await?.ok_or(ControlError::NotFound("project"))?;
        matches(if_match, row.version, false)?;
        row.name = wanted.name.unwrap_or(row.name);
        row.slug = wanted.slug.unwrap_or(row.slug);
        row.description = wanted.description.unwrap_or(row.description);
        row.icon = wanted.icon.map_or(row.icon, |icon| (!icon.is_empty()).then_some(icon));
        row.updated_at = self.clock().now();
        projects::update(&mut write, &row).await.map_err(|error| match error {
            store::StoreError::Conflict { .. } => taken("projects_slug", "a project", &row.slug)(error),
            other => stale(other),
        })?;
        let tags = tags::of_project(&mut write, actor.organization, row.id).await?;
        self.record(actor, "project.updated").resource("project", row.id, Some(&row.name)).append(&mut write).await?;
        write.commit().await?;
        row.version += 1;
        Ok(super::shown(row, &tags))
    }
}

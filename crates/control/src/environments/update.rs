use contract::projects::{Environment, UpdateEnvironment};
use domain::permission::Permission;
use store::environments;

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::named::{Faults, matches, stale, taken};
use crate::state::Control;

impl Control {
    /// # Errors
    /// `invalid`, `name-taken`, `precondition-failed`.
    pub async fn update_environment(&self, actor: &Actor, if_match: Option<&str>, wanted: UpdateEnvironment) -> Result<Environment> {
        actor.require(Permission::ProjectsWrite)?;
        let mut faults = Faults::default();
        faults.named(wanted.name.as_deref(), None, None);
        if let Some(slug) = &wanted.slug {
            faults.slug(Some(slug.clone()), "");
        }
        faults.end()?;
        let mut write = self.store().write().await?;
        let found = environments::find(&mut write, actor.organization, actor.environment()?).await?;
        let mut row = found.ok_or(ControlError::NotFound("environment"))?;
        matches(if_match, row.version, false)?;
        row.name = wanted.name.unwrap_or(row.name);
        row.slug = wanted.slug.unwrap_or(row.slug);
        row.kind = wanted.kind.unwrap_or(row.kind);
        row.updated_at = self.clock().now();
        environments::update(&mut write, &row).await.map_err(|error| match error {
            store::StoreError::Conflict { .. } => taken("environments_slug", "an environment", &row.slug)(error),
            other => stale(other),
        })?;
        self.record(actor, "environment.updated").resource("environment", row.id, Some(&row.name)).append(&mut write).await?;
        write.commit().await?;
        row.version += 1;
        Ok(super::shown(row))
    }
}

use contract::Code;
use contract::projects::{CreateEnvironment, Environment};
use domain::id::EnvironmentId;
use domain::permission::Permission;
use domain::project::EnvironmentKind;
use store::environments::EnvironmentRow;
use store::{environments, projects};

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::named::{Faults, taken};
use crate::state::Control;

/// Environments of one project.
pub const ENVIRONMENTS_MAX: u64 = 100;

impl Control {
    /// # Errors
    /// `invalid`, `name-taken`, `limit-exceeded`, `conflict` while the project is being deleted.
    pub async fn create_environment(&self, actor: &Actor, wanted: CreateEnvironment) -> Result<Environment> {
        actor.require(Permission::ProjectsWrite)?;
        let row = self.new_environment(actor, wanted.name, wanted.slug, wanted.kind.unwrap_or(EnvironmentKind::Staging))?;
        let mut write = self.store().write().await?;
        self.insert_environment(&mut write, &row).await?;
        self.record(actor, "environment.created").resource("environment", row.id, Some(&row.name)).append(&mut write).await?;
        write.commit().await?;
        Ok(super::shown(row))
    }

    pub(super) fn new_environment(
        &self,
        actor: &Actor,
        name: String,
        slug: Option<String>,
        kind: EnvironmentKind,
    ) -> Result<EnvironmentRow> {
        let mut faults = Faults::default();
        faults.named(Some(&name), None, None);
        let slug = faults.slug(slug, &name);
        faults.end()?;
        let now = self.clock().now();
        Ok(EnvironmentRow {
            id: EnvironmentId::new(self.clock(), self.entropy()),
            organization_id: actor.organization,
            project_id: actor.project()?,
            slug,
            name,
            kind,
            is_default: false,
            version: 1,
            created_at: now,
            updated_at: now,
            deleting_at: None,
        })
    }

    pub(super) async fn insert_environment(&self, write: &mut store::Write, row: &EnvironmentRow) -> Result<()> {
        let project = projects::find(write, row.organization_id, row.project_id).await?.ok_or(ControlError::NotFound("project"))?;
        if project.deleting_at.is_some() {
            return Err(ControlError::refused(Code::Conflict, "The project is being deleted. Nothing more can be made in it."));
        }
        let count = environments::all_of_project(write, row.organization_id, row.project_id).await?.len() as u64;
        if count >= ENVIRONMENTS_MAX {
            return Err(ControlError::Limit { name: "environments of the project", current: count, max: ENVIRONMENTS_MAX });
        }
        environments::insert(write, row).await.map_err(taken("environments_slug", "an environment", &row.slug))
    }
}

use contract::projects::{CreateProject, Project};
use domain::id::{EnvironmentId, ProjectId};
use domain::permission::Permission;
use domain::project::{DEFAULT_ENVIRONMENT, EnvironmentKind};
use store::environments::EnvironmentRow;
use store::projects::ProjectRow;
use store::{environments, projects};

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::named::{Faults, taken};
use crate::state::Control;

/// Projects of one organization.
pub const PROJECTS_MAX: u64 = 1_000;

impl Control {
    /// Makes a project with its environment `production`.
    ///
    /// # Errors
    /// `invalid`, `name-taken`, `limit-exceeded`.
    pub async fn create_project(&self, actor: &Actor, wanted: CreateProject) -> Result<Project> {
        actor.require(Permission::ProjectsWrite)?;
        actor.require_all_projects(Permission::ProjectsWrite)?;
        let row = self.new_project(actor, wanted)?;
        let mut write = self.store().write().await?;
        self.insert_project(&mut write, &row).await?;
        self.record(actor, "project.created").resource("project", row.id, Some(&row.name)).append(&mut write).await?;
        write.commit().await?;
        Ok(super::shown(row, &[]))
    }

    pub(super) fn new_project(&self, actor: &Actor, wanted: CreateProject) -> Result<ProjectRow> {
        let mut faults = Faults::default();
        faults.named(Some(&wanted.name), Some(&wanted.description), wanted.icon.as_deref());
        let slug = faults.slug(wanted.slug, &wanted.name);
        faults.end()?;
        let now = self.clock().now();
        Ok(ProjectRow {
            id: ProjectId::new(self.clock(), self.entropy()),
            organization_id: actor.organization,
            slug,
            name: wanted.name,
            description: wanted.description,
            icon: wanted.icon.filter(|icon| !icon.is_empty()),
            version: 1,
            created_at: now,
            updated_at: now,
            deleting_at: None,
        })
    }

    /// Writes the project, if the organization may have one more.
    pub(super) async fn insert_project_alone(&self, write: &mut store::Write, row: &ProjectRow) -> Result<()> {
        let count = crate::named::unsigned(projects::count(write, row.organization_id, &store::Sight::default()).await?);
        if count >= PROJECTS_MAX {
            return Err(ControlError::Limit { name: "projects of the organization", current: count, max: PROJECTS_MAX });
        }
        projects::insert(write, row).await.map_err(taken("projects_slug", "a project", &row.slug))
    }

    /// Writes the project with its default environment.
    async fn insert_project(&self, write: &mut store::Write, row: &ProjectRow) -> Result<()> {
        self.insert_project_alone(write, row).await?;
        let environment = EnvironmentRow {
            id: EnvironmentId::new(self.clock(), self.entropy()),
            organization_id: row.organization_id,
            project_id: row.id,
            slug: DEFAULT_ENVIRONMENT.into(),
            name: "Production".into(),
            kind: EnvironmentKind::Production,
            is_default: true,
            version: 1,
            created_at: row.created_at,
            updated_at: row.created_at,
            deleting_at: None,
        };
        Ok(environments::insert(write, &environment).await?)
    }
}

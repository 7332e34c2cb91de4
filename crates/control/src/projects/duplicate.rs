use contract::projects::{CreateProject, Duplicate, Project};
use domain::id::Id;
use domain::permission::Permission;
use store::variables::ScopeKind;
use store::{environments, projects, services};

use crate::access::Actor;
use crate::environments::Copies;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// A new project with the same environments and services: settings and, if wanted, variables; no data, domains, releases.
    ///
    /// # Errors
    /// `invalid`, `name-taken`, `not-found` for a service that is not in the project.
    pub async fn duplicate_project(&self, actor: &Actor, wanted: Duplicate) -> Result<Project> {
        actor.require(Permission::ProjectsWrite)?;
        actor.require(Permission::ServicesWrite)?;
        actor.require(Permission::VariablesWrite)?;
        actor.require_all_projects(Permission::ProjectsWrite)?;
        let from = actor.project()?;
        let mut read = self.store().read().await?;
        let original = projects::find(&mut read, actor.organization, from).await?.ok_or(ControlError::NotFound("project"))?;
        let old_environments = environments::all_of_project(&mut read, actor.organization, from).await?;
        let old_services = services::all_of_project(&mut read, actor.organization, from).await?;
        drop(read);
        let chosen = crate::environments::chosen(old_services, wanted.services.as_deref())?;
        let row = self.new_project(
            actor,
            CreateProject { name: wanted.name, slug: wanted.slug, description: original.description.clone(), icon: original.icon.clone() },
        )?;
        let mut copies = Copies::default();
        if wanted.variables {
            self.copy_variables(actor, ScopeKind::Project, from.uuid(), row.id.uuid(), &mut copies).await?;
        }
        let mut made = Vec::new();
        for old in &old_environments {
            let new = store::environments::EnvironmentRow {
                id: domain::id::EnvironmentId::new(self.clock(), self.entropy()),
                project_id: row.id,
                version: 1,
                created_at: self.clock().now(),
                updated_at: self.clock().now(),
                deleting_at: None,
                ..old.clone()
            };
            let inside: Vec<_> = chosen.iter().filter(|service| service.environment_id == old.id).cloned().collect();
            self.copy_environment(actor, &row.slug, old, &new, &inside, wanted.variables, &mut copies).await?;
            made.push(new);
        }
        let mut write = self.store().write().await?;
        self.insert_project_alone(&mut write, &row).await?;
        for environment in &made {
            environments::insert(&mut write, environment).await?;
        }
        self.write_copies(&mut write, copies).await?;
        self.record(actor, "project.duplicated")
            .resource("project", row.id, Some(&row.name))
            .detail("from", from)
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(super::shown(row, &[]))
    }
}

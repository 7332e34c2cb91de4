use contract::Code;
use contract::services::{CreateService, Service};
use domain::id::ServiceId;
use domain::name::{app_name, app_name_with_suffix, check_service_slug};
use domain::permission::Permission;
use domain::service::ServiceKind;
use store::services::ServiceRow;
use store::{Json, Write, environments, projects, services};

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::named::{Faults, taken, unsigned};
use crate::state::Control;

/// Services of one environment.
pub const SERVICES_MAX: u64 = 500;
const APP_NAME_ATTEMPTS_MAX: u32 = 8;

impl Control {
    /// # Errors
    /// `invalid` with a pointer for each fault, `name-taken`, `limit-exceeded`, `conflict` while the environment is being deleted.
    pub async fn create_service(&self, actor: &Actor, wanted: CreateService) -> Result<Service> {
        actor.require(Permission::ServicesWrite)?;
        let mut faults = Faults::default();
        faults.named(Some(&wanted.name), Some(&wanted.description), wanted.icon.as_deref());
        let slug = faults.slug(wanted.slug, &wanted.name);
        if !slug.is_empty() {
            faults.check("/slug", check_service_slug(&slug));
        }
        faults.end()?;
        let mut write = self.store().write().await?;
        self.check_configuration(&mut write, actor.organization, None, &wanted.configuration).await?;
        let environment =
            environments::find(&mut write, actor.organization, actor.environment()?).await?.ok_or(ControlError::NotFound("environment"))?;
        if environment.deleting_at.is_some() {
            return Err(ControlError::refused(Code::Conflict, "The environment is being deleted. Nothing more can be made in it."));
        }
        let project =
            projects::find(&mut write, actor.organization, environment.project_id).await?.ok_or(ControlError::NotFound("project"))?;
        let count = unsigned(services::count_in_environment(&mut write, actor.organization, environment.id).await?);
        if count >= SERVICES_MAX {
            return Err(ControlError::Limit { name: "services of the environment", current: count, max: SERVICES_MAX });
        }
        let now = self.clock().now();
        let row = ServiceRow {
            id: ServiceId::new(self.clock(), self.entropy()),
            organization_id: actor.organization,
            project_id: environment.project_id,
            environment_id: environment.id,
            kind: ServiceKind::App,
            name: wanted.name,
            description: wanted.description,
            icon: wanted.icon.filter(|icon| !icon.is_empty()),
            app_name: self.free_app_name(&mut write, app_name(&slug, &environment.slug, &project.slug)).await?,
            slug,
            configuration: Json(wanted.configuration),
            version: 1,
            revision: 1,
            released_revision: None,
            current_release_id: None,
            stopped: false,
            fence: 0,
            created_at: now,
            updated_at: now,
            deleting_at: None,
        };
        services::insert(&mut write, &row).await.map_err(taken("services_slug", "a service", &row.slug))?;
        self.record(actor, "service.created")
            .resource("service", row.id, Some(&row.name))
            .states(None::<&()>, Some(&row.configuration))
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(self.shown_service(row))
    }

    /// The first choice, or one with a suffix when another service of the instance, or the instance itself, answers there.
    pub(crate) async fn free_app_name(&self, write: &mut Write, first: String) -> Result<String> {
        let mut name = first.clone();
        for _ in 0..APP_NAME_ATTEMPTS_MAX {
            write.exclusive(&format!("app name/{name}")).await?;
            if !services::app_name_taken(write, &name).await? && !self.is_own_host(&self.generated_host(&name)) {
                return Ok(name);
            }
            name = app_name_with_suffix(&first, self.entropy());
        }
        Err(anyhow::anyhow!("no free app name after {APP_NAME_ATTEMPTS_MAX} attempts").into())
    }
}

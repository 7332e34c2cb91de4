//! Copies of environments and services under new ids: settings and variables, sealed anew for their new place.

use std::collections::BTreeMap;

use domain::id::{EnvironmentId, Id, OrganizationId, ServiceId, VariableId};
use domain::service::{Mount, Source};
use store::environments::EnvironmentRow;
use store::services::ServiceRow;
use store::variables::{ScopeKind, VariableRow, VersionRow};
use store::{Json, Write, services, variables};
use uuid::Uuid;

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::services::SERVICES_MAX;
use crate::state::Control;

/// Rows that are ready to be written.
#[derive(Default)]
pub(crate) struct Copies {
    services: Vec<ServiceRow>,
    variables: Vec<(VariableRow, VersionRow)>,
}

/// Those of the services that were asked for.
///
/// # Errors
/// `not-found` when one is not among them.
pub(crate) fn chosen(all: Vec<ServiceRow>, wanted: Option<&[ServiceId]>) -> Result<Vec<ServiceRow>> {
    let Some(wanted) = wanted else { return Ok(all) };
    if wanted.iter().any(|id| all.iter().all(|row| row.id != *id)) {
        return Err(ControlError::invalid("/services", "not-found", "a service that is named is not here"));
    }
    Ok(all.into_iter().filter(|row| wanted.contains(&row.id)).collect())
}

impl Control {
    /// Prepares copies of all variables of one scope for another.
    pub(crate) async fn copy_variables(&self, actor: &Actor, kind: ScopeKind, from: Uuid, to: Uuid, copies: &mut Copies) -> Result<()> {
        let rows = variables::all_of_scope(&mut self.store().read().await?, actor.organization, kind, from).await?;
        for row in rows {
            let value = self.value_of(actor.organization, row.version_id, row.plain_value.clone(), row.sealed_value.as_deref()).await?;
            let id = VariableId::new(self.clock(), self.entropy());
            let version = self.new_version(actor, id, 1, row.kind, &value).await?;
            let now = version.created_at;
            let variable = VariableRow {
                id,
                organization_id: actor.organization,
                scope_kind: kind,
                scope_id: to,
                name: row.name,
                kind: row.kind,
                version: 1,
                refers_to: row.refers_to,
                created_at: now,
                updated_at: now,
            };
            copies.variables.push((variable, version));
        }
        Ok(())
    }

    /// Prepares a copy of a service: settings without volumes, uploads, domains and releases.
    pub(crate) async fn copy_service(
        &self,
        actor: &Actor,
        row: ServiceRow,
        from: ServiceId,
        with_variables: bool,
        copies: &mut Copies,
    ) -> Result<()> {
        let mut row = row;
        row.configuration.0.mounts.retain(|mount| !matches!(mount, Mount::Volume { .. }));
        if let Some(Source::Archive { upload }) = &mut row.configuration.0.source {
            *upload = None;
        }
        if !with_variables {
            row.configuration.0.mounts.retain(|mount| !matches!(mount, Mount::File { .. }));
        } else {
            self.copy_variables(actor, ScopeKind::Service, from.uuid(), row.id.uuid(), copies).await?;
            self.copy_variables(actor, ScopeKind::File, from.uuid(), row.id.uuid(), copies).await?;
        }
        copies.services.push(row);
        Ok(())
    }

    /// Prepares copies of an environment's variables and of some of its services.
    #[expect(clippy::too_many_arguments, reason = "both ends of the copy with their names")]
    pub(crate) async fn copy_environment(
        &self,
        actor: &Actor,
        project_slug: &str,
        from: &EnvironmentRow,
        to: &EnvironmentRow,
        chosen: &[ServiceRow],
        with_variables: bool,
        copies: &mut Copies,
    ) -> Result<()> {
        if with_variables {
            self.copy_variables(actor, ScopeKind::Environment, from.id.uuid(), to.id.uuid(), copies).await?;
        }
        for old in chosen {
            let new = self.fresh_service(old, to, old.slug.clone(), old.name.clone(), project_slug);
            self.copy_service(actor, new, old.id, with_variables, copies).await?;
        }
        Ok(())
    }

    /// A row with the settings of `old`, below another parent and without a history.
    pub(crate) fn fresh_service(
        &self,
        old: &ServiceRow,
        environment: &EnvironmentRow,
        slug: String,
        name: String,
        project_slug: &str,
    ) -> ServiceRow {
        let now = self.clock().now();
        ServiceRow {
            id: ServiceId::new(self.clock(), self.entropy()),
            project_id: environment.project_id,
            environment_id: environment.id,
            app_name: domain::name::app_name(&slug, &environment.slug, project_slug),
            slug,
            name,
            configuration: Json(old.configuration.0.clone()),
            version: 1,
            revision: 1,
            released_revision: None,
            current_release_id: None,
            stopped: false,
            fence: 0,
            created_at: now,
            updated_at: now,
            deleting_at: None,
            ..old.clone()
        }
    }

    pub(crate) async fn write_copies(&self, write: &mut Write, copies: Copies) -> Result<()> {
        let mut wanted: BTreeMap<EnvironmentId, (OrganizationId, u64)> = BTreeMap::new();
        for row in &copies.services {
            wanted.entry(row.environment_id).or_insert((row.organization_id, 0)).1 += 1;
        }
        for (environment, (organization, more)) in wanted {
            let current = crate::named::unsigned(services::count_in_environment(write, organization, environment).await?);
            if current + more > SERVICES_MAX {
                return Err(ControlError::Limit { name: "services of the environment", current, max: SERVICES_MAX });
            }
        }
        for mut row in copies.services {
            row.app_name = self.free_app_name(write, row.app_name).await?;
            services::insert(write, &row).await.map_err(crate::named::taken("services_slug", "a service", &row.slug))?;
        }
        for (variable, version) in copies.variables {
            variables::insert(write, &variable).await?;
            variables::insert_version(write, &version).await?;
        }
        Ok(())
    }
}

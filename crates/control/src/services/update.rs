use contract::Code;
use contract::services::{Service, UpdateService};
use domain::permission::Permission;
use domain::service::Configuration;
use store::services::{self, Reach, ServiceRow};
use store::{Json, StoreError, Write};

use super::merge::merged;
use crate::access::Actor;
use crate::deployments::only_replicas;
use crate::error::{ControlError, Result};
use crate::named::{Faults, matches, stale, taken};
use crate::state::Control;

impl Control {
    /// Changes names and configuration. A changed configuration becomes a new release of a service that runs, unless
    /// `deploy` is false.
    ///
    /// # Errors
    /// `invalid` with a pointer for each fault, `precondition-required`, `precondition-failed`, `name-taken`.
    pub async fn update_service(&self, actor: &Actor, if_match: Option<&str>, wanted: UpdateService, deploy: bool) -> Result<Service> {
        actor.require(Permission::ServicesWrite)?;
        let mut faults = Faults::default();
        faults.named(wanted.name.as_deref(), wanted.description.as_deref(), wanted.icon.as_deref());
        if let Some(slug) = &wanted.slug {
            faults.check("/slug", domain::name::check_service_slug(slug));
        }
        faults.end()?;
        let mut write = self.store().write().await?;
        let mut row = services::get_locked(&mut write, actor.organization, actor.service()?).await?;
        if row.deleting_at.is_some() {
            return Err(ControlError::refused(Code::Conflict, "The service is being deleted. It cannot be changed any more."));
        }
        matches(if_match, row.version, wanted.configuration.is_some())?;
        let before = row.configuration.clone();
        if let Some(patch) = wanted.configuration {
            row.configuration = Json(merged(&before.0, patch)?);
            self.check_configuration(&mut write, actor.organization, Some(row.id), &row.configuration.0).await?;
        }
        // Neighbours reach the service under its slug, so a new slug is a new release too.
        let renamed = wanted.slug.as_ref().is_some_and(|slug| *slug != row.slug);
        let changed = row.configuration != before || renamed;
        row.name = wanted.name.unwrap_or(row.name);
        row.slug = wanted.slug.unwrap_or(row.slug);
        row.description = wanted.description.unwrap_or(row.description);
        row.icon = wanted.icon.map_or(row.icon, |icon| (!icon.is_empty()).then_some(icon));
        row.updated_at = self.clock().now();
        services::update(&mut write, &row, changed).await.map_err(|error| match error {
            StoreError::Conflict { .. } => taken("services_slug", "a service", &row.slug)(error),
            other => stale(other),
        })?;
        if changed && deploy {
            self.release_settings(&mut write, actor, &row, (!renamed).then_some(&before.0)).await?;
        }
        let row = services::get_locked(&mut write, actor.organization, row.id).await?;
        self.record(actor, "service.updated")
            .resource("service", row.id, Some(&row.name))
            .states(Some(&before), Some(&row.configuration))
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(self.shown_service(row))
    }

    /// The new release for changed settings. Where replicas alone changed, it is the release that serves with other numbers.
    async fn release_settings(&self, write: &mut Write, actor: &Actor, row: &ServiceRow, before: Option<&Configuration>) -> Result<()> {
        let replicas = before.and_then(|before| only_replicas(before, &row.configuration.0));
        let serving = match (&replicas, row.current_release_id) {
            (Some(_), Some(id)) => store::releases::find(write, actor.organization, id).await?,
            _ => None,
        };
        let known = |name: &String| {
            serving.as_ref().is_some_and(|release| release.configuration.0.processes.iter().any(|process| &process.name == name))
        };
        match replicas {
            Some(replicas) if !row.stopped && replicas.keys().all(known) && actor.require(Permission::DeploymentsWrite).is_ok() => {
                let delivery = format!("{}/{}", actor.origin.delivery(), row.id);
                self.request_formation(write, actor, (row, row.revision), replicas, delivery).await?;
            }
            _ => {
                self.release_after(write, actor, Reach::Service(row.id), "Settings changed").await?;
            }
        }
        Ok(())
    }
}

//! A change that concerns one or more services becomes a release of each that runs.

use std::collections::BTreeSet;

use domain::id::{DeploymentId, Id, ServiceId};
use domain::permission::Permission;
use store::services::{Reach, ServiceRow};
use store::variables::ScopeKind;
use store::{Write, services, variables};

use crate::access::Actor;
use crate::error::Result;
use crate::state::Control;

impl Control {
    /// Marks the services as changed, with those that refer to them; then asks for their releases if wanted.
    pub(crate) async fn changed(
        &self,
        write: &mut Write,
        actor: &Actor,
        reach: Reach,
        deploy: bool,
        title: &str,
    ) -> Result<Vec<DeploymentId>> {
        services::touch(write, actor.organization, reach).await?;
        let mut made = Vec::new();
        let mut others = Vec::new();
        if let Reach::Service(id) = reach {
            others = self.referring(write, actor, id).await?;
        }
        for reach in std::iter::once(reach).chain(others.iter().map(|id| Reach::Service(*id))) {
            if let (Reach::Service(id), true) = (reach, others.iter().any(|other| Reach::Service(*other) == reach)) {
                services::touch(write, actor.organization, Reach::Service(id)).await?;
            }
            if deploy {
                made.extend(self.release_after(write, actor, reach, title).await?);
            }
        }
        Ok(made)
    }

    /// New releases of the services in reach that run. Nothing for an actor who may not deploy: the change waits.
    pub(crate) async fn release_after(&self, write: &mut Write, actor: &Actor, reach: Reach, title: &str) -> Result<Vec<DeploymentId>> {
        if actor.require(Permission::DeploymentsWrite).is_err() {
            return Ok(Vec::new());
        }
        let rows: Vec<ServiceRow> = match reach {
            Reach::Project(id) => services::all_of_project(write, actor.organization, id).await?,
            Reach::Environment(id) => services::all_of_environment(write, actor.organization, id).await?,
            Reach::Service(id) => services::find(write, actor.organization, id).await?.into_iter().collect(),
        };
        let mut made = Vec::new();
        for row in rows {
            made.extend(self.request_release(write, actor, &row, title).await?);
        }
        Ok(made)
    }

    /// Services of the same environment whose values refer to this one.
    async fn referring(&self, write: &mut Write, actor: &Actor, id: ServiceId) -> Result<Vec<ServiceId>> {
        let Some(row) = services::find(write, actor.organization, id).await? else { return Ok(Vec::new()) };
        let refers = |rows: &[variables::CurrentRow]| rows.iter().any(|variable| variable.refers_to.0.contains(&row.slug));
        let of_all = variables::all_of_scope(write, actor.organization, ScopeKind::Environment, row.environment_id.uuid()).await?;
        let everyone = refers(&of_all);
        let mut found = BTreeSet::new();
        for other in services::all_of_environment(write, actor.organization, row.environment_id).await? {
            if other.id == id {
                continue;
            }
            let own = variables::all_of_scope(write, actor.organization, ScopeKind::Service, other.id.uuid()).await?;
            if everyone || refers(&own) {
                found.insert(other.id);
            }
        }
        Ok(found.into_iter().collect())
    }
}

use contract::Page;
use contract::deployments::{Deployment, DeploymentsQuery};
use contract::page::PageQuery;
use domain::deployment::Phase;
use domain::id::{DeploymentId, Id, OrganizationId};
use domain::permission::Permission;

use super::shown::{Around, shown};
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// One deployment with its steps. With `wait`, answers at its end or after so many seconds, whichever comes first.
    pub async fn read_deployment(&self, actor: &Actor, wait_seconds: Option<u32>) -> Result<Deployment> {
        actor.require(Permission::ServicesRead)?;
        let id = DeploymentId::from_uuid(actor.located.id);
        let ended = async || {
            let phase = store::deployments::find_phase(&mut self.store().read().await?, actor.organization, id).await?;
            Ok::<_, ControlError>(phase.is_none_or(Phase::is_end))
        };
        self.wakes().wait(id.uuid(), wait_seconds, ended).await?;
        self.read_deployment_of(actor.organization, id).await
    }

    pub(crate) async fn read_deployment_of(&self, organization: OrganizationId, id: DeploymentId) -> Result<Deployment> {
        let mut read = self.store().read().await?;
        let row = store::deployments::find(&mut read, organization, id).await?.ok_or(ControlError::NotFound("deployment"))?;
        let steps = store::deployments::list_steps(&mut read, id).await?;
        let release = match row.release_id {
            Some(release) => store::releases::find(&mut read, organization, release).await?,
            None => None,
        };
        let position = if row.phase == Phase::Queued {
            let open = store::deployments::list_open(&mut read, row.service_id).await?;
            Some(open.iter().take_while(|other| other.id != id).count() as u64)
        } else {
            None
        };
        let url = release.as_ref().and_then(|release| release.hosts.0.first()).map(|host| self.url_of(host));
        Ok(shown(row, Around { version: release.map(|release| release.version), position, url, steps }))
    }

    /// The deployments of a service, newest first.
    pub async fn list_deployments(&self, actor: &Actor, query: &PageQuery) -> Result<Page<Deployment>> {
        actor.require(Permission::ServicesRead)?;
        let service = actor.service()?;
        let list = format!("deployments/{service}");
        let page = self.page_of(&list, query)?;
        let listing = store::deployments::list_of_service(&mut self.store().read().await?, actor.organization, service, &page).await?;
        Ok(self.listed(&list, listing, |row| shown(row, Around::default())))
    }

    /// Every deployment of the organization: the deployments centre.
    pub async fn list_organization_deployments(&self, actor: &Actor, query: &DeploymentsQuery) -> Result<Page<Deployment>> {
        actor.require(Permission::ServicesRead)?;
        let list = format!("deployments/{}/{}", actor.organization, query.open);
        let page = self.page_of(&list, &PageQuery { limit: query.limit, cursor: query.cursor.clone() })?;
        let mut read = self.store().read().await?;
        let listing = store::deployments::list_of_organization(&mut read, actor.organization, &actor.sight, query.open, &page).await?;
        Ok(self.listed(&list, listing, |row| shown(row, Around::default())))
    }
}

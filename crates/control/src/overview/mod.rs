//! The organization at a glance.

use contract::deployments::DeploymentsQuery;
use contract::overview::Overview;
use domain::permission::Permission;

use crate::access::Actor;
use crate::error::Result;
use crate::state::Control;

const RECENT: u32 = 10;
const OPEN_MAX: u32 = 50;

impl Control {
    /// Counters of what the actor sees, what is under way, and the newest deployments.
    pub async fn read_overview(&self, actor: &Actor) -> Result<Overview> {
        actor.require(Permission::ProjectsRead)?;
        let mut read = self.store().read().await?;
        let organization = actor.organization;
        let projects = store::projects::count(&mut read, organization, &actor.sight).await?;
        let environments = store::environments::count(&mut read, organization, &actor.sight).await?;
        let services = store::services::count(&mut read, organization, &actor.sight).await?;
        let domains = store::domains::count(&mut read, organization, &actor.sight).await?;
        let credentials = store::credentials::count(&mut read, organization).await?;
        drop(read);
        let open = self.list_organization_deployments(actor, &DeploymentsQuery { limit: Some(OPEN_MAX), cursor: None, open: true }).await?;
        let recent =
            self.list_organization_deployments(actor, &DeploymentsQuery { limit: Some(RECENT), cursor: None, open: false }).await?;
        Ok(Overview {
            projects: projects.unsigned_abs(),
            environments: environments.unsigned_abs(),
            services: services.unsigned_abs(),
            domains: domains.unsigned_abs(),
            credentials: credentials.unsigned_abs(),
            open_deployments: open.data,
            recent_deployments: recent.data,
        })
    }
}

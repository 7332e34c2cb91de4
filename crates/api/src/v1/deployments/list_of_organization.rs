use actix_web::web::Data;
use contract::Page;
use contract::deployments::{Deployment, DeploymentsQuery};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::ServicesRead };
    Endpoint::get("list_organization_deployments", "/organizations/{organization}/deployments", access)
        .tag("deployments")
        .summary("List every deployment of an organization")
        .description("With `open=true` what runs and what waits: the queue.")
        .query::<DeploymentsQuery>()
        .answers::<Page<Deployment>>(200)
        .handle(handle)
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    Query(query): Query<DeploymentsQuery>,
) -> Result<Answer<Page<Deployment>>, ApiError> {
    Ok(Answer::ok(control.list_organization_deployments(&caller, &query).await?))
}

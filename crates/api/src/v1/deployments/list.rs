use actix_web::web::Data;
use contract::Page;
use contract::deployments::Deployment;
use contract::page::PageQuery;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesRead };
    Endpoint::get("list_deployments", "/services/{service}/deployments", access)
        .tag("deployments")
        .summary("List the deployments of a service")
        .query::<PageQuery>()
        .answers::<Page<Deployment>>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<PageQuery>) -> Result<Answer<Page<Deployment>>, ApiError> {
    Ok(Answer::ok(control.list_deployments(&caller, &query).await?))
}

use actix_web::web::Data;
use contract::Page;
use contract::page::PageQuery;
use contract::services::Domain;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::ServicesRead };
    Endpoint::get("list_organization_domains", "/organizations/{organization}/domains", access)
        .tag("domains")
        .summary("List the custom domains of an organization")
        .query::<PageQuery>()
        .answers::<Page<Domain>>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<PageQuery>) -> Result<Answer<Page<Domain>>, ApiError> {
    Ok(Answer::ok(control.list_organization_domains(&caller, &query).await?))
}

use actix_web::web::Data;
use contract::services::{AddDomain, DeployQuery, Domain};
use control::Control;
use control::access::Kind;
use domain::id::Id;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesWrite };
    Endpoint::post("add_domain", "/services/{service}/domains", access)
        .tag("domains")
        .summary("Add a domain")
        .body::<AddDomain>()
        .query::<DeployQuery>()
        .idempotency_required()
        .answers::<Domain>(201)
        .handle(handle)
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    Query(query): Query<DeployQuery>,
    Body(body): Body<AddDomain>,
) -> Result<Answer<Domain>, ApiError> {
    let id = domain::id::ServiceId::from_uuid(caller.located.id);
    let shown = control.add_domain(&caller, body, query.deploy.unwrap_or(true)).await?;
    Ok(Answer::created(shown, format!("/services/{}/domains", id)))
}

use actix_web::web::Data;
use contract::services::{DeployQuery, Service, UpdateService};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller, IfMatch, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesWrite };
    Endpoint::patch("update_service", "/services/{service}", access)
        .tag("services")
        .summary("Change a service")
        .body::<UpdateService>()
        .query::<DeployQuery>()
        .answers::<Service>(200)
        .handle(handle)
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    IfMatch(if_match): IfMatch,
    Query(query): Query<DeployQuery>,
    Body(body): Body<UpdateService>,
) -> Result<Answer<Service>, ApiError> {
    let shown = control.update_service(&caller, if_match.as_deref(), body, query.deploy.unwrap_or(true)).await?;
    let version = shown.version;
    Ok(Answer::ok(shown).version(version))
}

use actix_web::web::Data;
use contract::deployments::{CreateRollback, Deployment};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::DeploymentsWrite };
    Endpoint::post("create_rollback", "/services/{service}/rollback", access)
        .tag("deployments")
        .summary("Roll back to an earlier release")
        .description("Brings back image, variables, configuration and hosts of that release as a new release, without a build.")
        .idempotency_required()
        .rate(RateClass::Deploy)
        .body::<CreateRollback>()
        .answers::<Deployment>(202)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<CreateRollback>) -> Result<Answer<Deployment>, ApiError> {
    let made = control.create_rollback(&caller, body).await?;
    let location = format!("/deployments/{}", made.id);
    Ok(Answer::accepted(made, location))
}

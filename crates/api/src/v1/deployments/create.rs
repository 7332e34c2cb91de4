use actix_web::web::Data;
use contract::deployments::{CreateDeployment, Deployment};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::DeploymentsWrite };
    Endpoint::post("create_deployment", "/services/{service}/deployments", access)
        .tag("deployments")
        .summary("Deploy the service")
        .description("Builds the configured source, or the named reference or upload, and rolls it out. Follow its log at `/deployments/{deployment}/logs`.")
        .idempotency_required()
        .rate(RateClass::Deploy)
        .body::<CreateDeployment>()
        .answers::<Deployment>(202)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<CreateDeployment>) -> Result<Answer<Deployment>, ApiError> {
    let made = control.create_deployment(&caller, body).await?;
    let location = format!("/deployments/{}", made.id);
    Ok(Answer::accepted(made, location))
}

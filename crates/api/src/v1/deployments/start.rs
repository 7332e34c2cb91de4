use actix_web::web::Data;
use contract::deployments::Deployment;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::DeploymentsWrite };
    Endpoint::post("start_service", "/services/{service}/start", access)
        .tag("deployments")
        .summary("Start a stopped service")
        .rate(RateClass::Deploy)
        .answers::<Deployment>(202)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<Deployment>, ApiError> {
    let made = control.start_service(&caller).await?;
    let location = format!("/deployments/{}", made.id);
    Ok(Answer::accepted(made, location))
}

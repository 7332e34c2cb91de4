use actix_web::web::Data;
use contract::deployments::{Deployment, Scale};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::DeploymentsWrite };
    Endpoint::post("scale_service", "/services/{service}/scale", access)
        .tag("deployments")
        .summary("Scale processes")
        .rate(RateClass::Deploy)
        .body::<Scale>()
        .answers::<Deployment>(202)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<Scale>) -> Result<Answer<Deployment>, ApiError> {
    let made = control.scale_service(&caller, body).await?;
    let location = format!("/deployments/{}", made.id);
    Ok(Answer::accepted(made, location))
}

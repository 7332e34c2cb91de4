use actix_web::web::Data;
use contract::deployments::Deployment;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Deployment, parameter: "deployment", permission: Permission::DeploymentsWrite };
    Endpoint::post("cancel_deployment", "/deployments/{deployment}/cancel", access)
        .tag("deployments")
        .summary("Cancel a deployment")
        .answers::<Deployment>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<Deployment>, ApiError> {
    Ok(Answer::ok(control.cancel_deployment(&caller).await?))
}

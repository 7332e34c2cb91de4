use actix_web::web::Data;

use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::DeploymentsWrite };
    Endpoint::post("stop_service", "/services/{service}/stop", access)
        .tag("deployments")
        .summary("Stop the service")
        .rate(RateClass::Deploy)
        .answers_nothing()
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<()>, ApiError> {
    control.stop_service(&caller).await?;
    Ok(Answer::nothing())
}

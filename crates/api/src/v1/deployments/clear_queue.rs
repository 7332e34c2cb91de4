use actix_web::web::Data;
use contract::deployments::QueueCleared;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::DeploymentsWrite };
    Endpoint::post("clear_queue", "/services/{service}/queue/clear", access)
        .tag("deployments")
        .summary("Cancel every deployment that waits")
        .answers::<QueueCleared>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<QueueCleared>, ApiError> {
    Ok(Answer::ok(control.clear_queue(&caller).await?))
}

use actix_web::web::Data;
use contract::replicas::ServiceStatus;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesRead };
    Endpoint::get("read_service_status", "/services/{service}/status", access)
        .tag("services")
        .summary("Read what really runs")
        .answers::<ServiceStatus>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<ServiceStatus>, ApiError> {
    Ok(Answer::ok(control.service_status(&caller).await?))
}

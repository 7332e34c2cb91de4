use actix_web::web::Data;
use contract::projects::DeletionPlan;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesRead };
    Endpoint::get("plan_service_deletion", "/services/{service}/deletion-plan", access)
        .tag("services")
        .summary("What the deletion of a service takes away")
        .answers::<DeletionPlan>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<DeletionPlan>, ApiError> {
    Ok(Answer::ok(control.plan_service_deletion(&caller).await?))
}

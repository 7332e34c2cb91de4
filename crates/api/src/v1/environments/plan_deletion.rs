use actix_web::web::Data;
use contract::projects::DeletionPlan;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Environment, parameter: "environment", permission: Permission::ProjectsRead };
    Endpoint::get("plan_environment_deletion", "/environments/{environment}/deletion-plan", access)
        .tag("environments")
        .summary("What the deletion of an environment takes away")
        .answers::<DeletionPlan>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<DeletionPlan>, ApiError> {
    Ok(Answer::ok(control.plan_environment_deletion(&caller).await?))
}

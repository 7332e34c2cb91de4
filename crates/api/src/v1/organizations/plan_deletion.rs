use actix_web::web::Data;
use contract::projects::DeletionPlan;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::OrganizationDelete };
    Endpoint::get("plan_organization_deletion", "/organizations/{organization}/deletion-plan", access)
        .tag("organizations")
        .summary("What the deletion of an organization takes away")
        .answers::<DeletionPlan>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<DeletionPlan>, ApiError> {
    Ok(Answer::ok(control.plan_organization_deletion(&caller).await?))
}

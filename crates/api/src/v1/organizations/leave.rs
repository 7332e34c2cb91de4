use actix_web::web::Data;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::OrganizationRead };
    Endpoint::post("leave_organization", "/organizations/{organization}/leave", access)
        .tag("organizations")
        .summary("Leave an organization")
        .no_idempotency()
        .answers_nothing()
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<()>, ApiError> {
    control.leave_organization(&caller).await?;
    Ok(Answer::nothing())
}

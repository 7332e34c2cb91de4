use actix_web::web::Data;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::OrganizationRead };
    Endpoint::post("accept_ownership", "/organizations/{organization}/transfer/accept", access)
        .tag("organizations")
        .summary("Accept the ownership")
        .no_idempotency()
        .step_up()
        .answers_nothing()
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<()>, ApiError> {
    control.accept_ownership(&caller).await?;
    Ok(Answer::nothing())
}

use actix_web::web::Data;
use contract::organizations::Organization;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::OrganizationRead };
    Endpoint::get("read_organization", "/organizations/{organization}", access)
        .tag("organizations")
        .summary("Read an organization")
        .answers::<Organization>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<Organization>, ApiError> {
    Ok(Answer::ok(control.read_organization(&caller).await?))
}

use actix_web::web::Data;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::OrganizationDelete };
    Endpoint::delete("delete_organization", "/organizations/{organization}", access)
        .tag("organizations")
        .summary("Delete an organization")
        .step_up()
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<()>, ApiError> {
    control.delete_organization(&caller).await?;
    Ok(Answer::nothing())
}

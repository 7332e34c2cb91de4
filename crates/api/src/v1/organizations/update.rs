use actix_web::web::Data;
use contract::organizations::{ChangeOrganization, Organization};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::OrganizationWrite };
    Endpoint::patch("change_organization", "/organizations/{organization}", access)
        .tag("organizations")
        .summary("Rename an organization or change its settings")
        .body::<ChangeOrganization>()
        .answers::<Organization>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, body: Body<ChangeOrganization>) -> Result<Answer<Organization>, ApiError> {
    Ok(Answer::ok(control.change_organization(&caller, &body.0).await?))
}

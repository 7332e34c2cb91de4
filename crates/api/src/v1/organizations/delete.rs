use actix_web::web::Data;
use contract::organizations::OrganizationDeletionQuery;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::OrganizationDelete };
    Endpoint::delete("delete_organization", "/organizations/{organization}", access)
        .tag("organizations")
        .summary("Delete an organization")
        .description("Refused while it has projects, unless `projects=true`: then they are stopped and removed as their own deletion does.")
        .query::<OrganizationDeletionQuery>()
        .step_up()
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<OrganizationDeletionQuery>) -> Result<Answer<()>, ApiError> {
    control.delete_organization(&caller, query).await?;
    Ok(Answer::nothing())
}

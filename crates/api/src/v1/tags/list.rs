use actix_web::web::Data;
use contract::tags::Tags;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::ProjectsRead };
    Endpoint::get("list_tags", "/organizations/{organization}/tags", access)
        .tag("tags")
        .summary("List the tags of an organization")
        .answers::<Tags>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<Tags>, ApiError> {
    Ok(Answer::ok(control.list_tags(&caller).await?))
}

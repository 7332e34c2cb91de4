use actix_web::web::Data;
use contract::tags::BulkTags;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::ProjectsWrite };
    Endpoint::post("assign_tags_to_many", "/organizations/{organization}/tags/assign", access)
        .tag("tags")
        .summary("Put tags on many projects, and take others off")
        .body::<BulkTags>()
        .answers_nothing()
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<BulkTags>) -> Result<Answer<()>, ApiError> {
    control.assign_tags_to_many(&caller, body).await?;
    Ok(Answer::nothing())
}

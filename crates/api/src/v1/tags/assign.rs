use actix_web::web::Data;
use contract::tags::{AssignTags, Tags};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Project, parameter: "project", permission: Permission::ProjectsWrite };
    Endpoint::put("assign_tags", "/projects/{project}/tags", access)
        .tag("tags")
        .summary("Give a project exactly these tags")
        .body::<AssignTags>()
        .answers::<Tags>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<AssignTags>) -> Result<Answer<Tags>, ApiError> {
    Ok(Answer::ok(control.assign_tags(&caller, body).await?))
}

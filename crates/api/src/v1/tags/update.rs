use actix_web::web::{Data, Path};
use contract::tags::{Tag, WriteTag};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::ProjectsWrite };
    Endpoint::put("update_tag", "/organizations/{organization}/tags/{tag}", access)
        .tag("tags")
        .summary("Change a tag")
        .body::<WriteTag>()
        .answers::<Tag>(200)
        .handle(handle)
}

async fn handle(
    caller: Caller,
    path: Path<(String, String)>,
    control: Data<Control>,
    Body(body): Body<WriteTag>,
) -> Result<Answer<Tag>, ApiError> {
    Ok(Answer::ok(control.update_tag(&caller, &path.1, body).await?))
}

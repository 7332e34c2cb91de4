use actix_web::web::Data;
use contract::tags::{Tag, WriteTag};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::ProjectsWrite };
    Endpoint::post("create_tag", "/organizations/{organization}/tags", access)
        .tag("tags")
        .summary("Make a tag")
        .body::<WriteTag>()
        .answers::<Tag>(201)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<WriteTag>) -> Result<Answer<Tag>, ApiError> {
    let made = control.create_tag(&caller, body).await?;
    let location = format!("/tags/{}", made.id);
    Ok(Answer::created(made, location))
}

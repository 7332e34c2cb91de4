use actix_web::web::Data;
use contract::projects::{Project, UpdateProject};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller, IfMatch};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Project, parameter: "project", permission: Permission::ProjectsWrite };
    Endpoint::patch("update_project", "/projects/{project}", access)
        .tag("projects")
        .summary("Rename or describe a project")
        .body::<UpdateProject>()
        .answers::<Project>(200)
        .handle(handle)
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    IfMatch(if_match): IfMatch,
    Body(body): Body<UpdateProject>,
) -> Result<Answer<Project>, ApiError> {
    let shown = control.update_project(&caller, if_match.as_deref(), body).await?;
    let version = shown.version;
    Ok(Answer::ok(shown).version(version))
}

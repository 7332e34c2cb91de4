use actix_web::web::Data;
use contract::projects::{Duplicate, Project};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Project, parameter: "project", permission: Permission::ProjectsWrite };
    Endpoint::post("duplicate_project", "/projects/{project}/duplicate", access)
        .tag("projects")
        .summary("Copy a project without its data")
        .body::<Duplicate>()
        .idempotency_required()
        .answers::<Project>(201)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<Duplicate>) -> Result<Answer<Project>, ApiError> {
    let shown = control.duplicate_project(&caller, body).await?;
    let location = format!("/projects/{}", shown.id);
    Ok(Answer::created(shown, location))
}

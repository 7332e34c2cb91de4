use actix_web::web::Data;
use contract::projects::{CreateProject, Project};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::ProjectsWrite };
    Endpoint::post("create_project", "/organizations/{organization}/projects", access)
        .tag("projects")
        .summary("Create a project with its environment `production`")
        .body::<CreateProject>()
        .idempotency_required()
        .answers::<Project>(201)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<CreateProject>) -> Result<Answer<Project>, ApiError> {
    let shown = control.create_project(&caller, body).await?;
    let location = format!("/projects/{}", shown.id);
    Ok(Answer::created(shown, location))
}

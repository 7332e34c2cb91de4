use actix_web::web::Data;
use contract::projects::{CreateEnvironment, Environment};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Project, parameter: "project", permission: Permission::ProjectsWrite };
    Endpoint::post("create_environment", "/projects/{project}/environments", access)
        .tag("environments")
        .summary("Create an environment")
        .body::<CreateEnvironment>()
        .idempotency_required()
        .answers::<Environment>(201)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<CreateEnvironment>) -> Result<Answer<Environment>, ApiError> {
    let shown = control.create_environment(&caller, body).await?;
    let location = format!("/environments/{}", shown.id);
    Ok(Answer::created(shown, location))
}

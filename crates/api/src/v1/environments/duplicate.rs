use actix_web::web::Data;
use contract::projects::{Duplicate, Environment};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Environment, parameter: "environment", permission: Permission::ProjectsWrite };
    Endpoint::post("duplicate_environment", "/environments/{environment}/duplicate", access)
        .tag("environments")
        .summary("Copy an environment without its data")
        .body::<Duplicate>()
        .idempotency_required()
        .answers::<Environment>(201)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<Duplicate>) -> Result<Answer<Environment>, ApiError> {
    let shown = control.duplicate_environment(&caller, body).await?;
    let location = format!("/environments/{}", shown.id);
    Ok(Answer::created(shown, location))
}

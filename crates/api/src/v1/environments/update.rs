use actix_web::web::Data;
use contract::projects::{Environment, UpdateEnvironment};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller, IfMatch};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Environment, parameter: "environment", permission: Permission::ProjectsWrite };
    Endpoint::patch("update_environment", "/environments/{environment}", access)
        .tag("environments")
        .summary("Rename an environment")
        .body::<UpdateEnvironment>()
        .answers::<Environment>(200)
        .handle(handle)
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    IfMatch(if_match): IfMatch,
    Body(body): Body<UpdateEnvironment>,
) -> Result<Answer<Environment>, ApiError> {
    let shown = control.update_environment(&caller, if_match.as_deref(), body).await?;
    let version = shown.version;
    Ok(Answer::ok(shown).version(version))
}

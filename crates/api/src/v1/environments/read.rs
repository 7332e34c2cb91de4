use actix_web::web::Data;
use contract::projects::Environment;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Environment, parameter: "environment", permission: Permission::ProjectsRead };
    Endpoint::get("read_environment", "/environments/{environment}", access)
        .tag("environments")
        .summary("Read an environment")
        .answers::<Environment>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<Environment>, ApiError> {
    let shown = control.read_environment(&caller).await?;
    let version = shown.version;
    Ok(Answer::ok(shown).version(version))
}

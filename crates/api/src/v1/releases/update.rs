use actix_web::web::Data;
use contract::releases::{Release, UpdateRelease};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Release, parameter: "release", permission: Permission::DeploymentsWrite };
    Endpoint::patch("update_release", "/releases/{release}", access)
        .tag("releases")
        .summary("Mark a release as irreversible")
        .body::<UpdateRelease>()
        .answers::<Release>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<UpdateRelease>) -> Result<Answer<Release>, ApiError> {
    Ok(Answer::ok(control.update_release(&caller, body).await?))
}

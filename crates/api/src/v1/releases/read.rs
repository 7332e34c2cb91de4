use actix_web::web::Data;
use contract::releases::Release;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Release, parameter: "release", permission: Permission::ServicesRead };
    Endpoint::get("read_release", "/releases/{release}", access)
        .tag("releases")
        .summary("Read a release")
        .answers::<Release>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<Release>, ApiError> {
    Ok(Answer::ok(control.read_release(&caller).await?))
}

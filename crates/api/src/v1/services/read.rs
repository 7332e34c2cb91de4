use actix_web::web::Data;
use contract::services::Service;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesRead };
    Endpoint::get("read_service", "/services/{service}", access)
        .tag("services")
        .summary("Read a service")
        .answers::<Service>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<Service>, ApiError> {
    let shown = control.read_service(&caller).await?;
    let version = shown.version;
    Ok(Answer::ok(shown).version(version))
}

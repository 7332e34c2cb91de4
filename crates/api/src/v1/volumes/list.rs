use actix_web::web::Data;
use contract::services::Volumes;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesRead };
    Endpoint::get("list_volumes", "/services/{service}/volumes", access)
        .tag("volumes")
        .summary("List the volumes of a service")
        .answers::<Volumes>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<Volumes>, ApiError> {
    Ok(Answer::ok(control.list_volumes(&caller).await?))
}

use actix_web::web::Data;
use contract::services::Service;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesWrite };
    Endpoint::post("discard_changes", "/services/{service}/changes/discard", access)
        .tag("services")
        .summary("Take settings back to those of the release that serves")
        .answers::<Service>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<Service>, ApiError> {
    Ok(Answer::ok(control.discard_changes(&caller).await?))
}

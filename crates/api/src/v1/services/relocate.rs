use actix_web::web::Data;
use contract::services::{MoveService, Service};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesWrite };
    Endpoint::post("move_service", "/services/{service}/move", access)
        .tag("services")
        .summary("Move a service to another environment")
        .body::<MoveService>()
        .answers::<Service>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<MoveService>) -> Result<Answer<Service>, ApiError> {
    Ok(Answer::ok(control.move_service(&caller, body).await?))
}

use actix_web::web::Data;
use contract::services::{CreateService, Service};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Environment, parameter: "environment", permission: Permission::ServicesWrite };
    Endpoint::post("create_service", "/environments/{environment}/services", access)
        .tag("services")
        .summary("Create a service")
        .body::<CreateService>()
        .idempotency_required()
        .answers::<Service>(201)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<CreateService>) -> Result<Answer<Service>, ApiError> {
    let shown = control.create_service(&caller, body).await?;
    let location = format!("/services/{}", shown.id);
    Ok(Answer::created(shown, location))
}

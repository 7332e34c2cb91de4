use actix_web::web::Data;
use contract::services::{DuplicateService, Service};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesWrite };
    Endpoint::post("duplicate_service", "/services/{service}/duplicate", access)
        .tag("services")
        .summary("Copy a service without its data")
        .body::<DuplicateService>()
        .idempotency_required()
        .answers::<Service>(201)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<DuplicateService>) -> Result<Answer<Service>, ApiError> {
    let shown = control.duplicate_service(&caller, body).await?;
    let location = format!("/services/{}", shown.id);
    Ok(Answer::created(shown, location))
}

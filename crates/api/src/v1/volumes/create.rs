use actix_web::web::Data;
use contract::services::{CreateVolume, Volume};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesWrite };
    Endpoint::post("create_volume", "/services/{service}/volumes", access)
        .tag("volumes")
        .summary("Create a volume")
        .body::<CreateVolume>()
        .idempotency_required()
        .answers::<Volume>(201)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<CreateVolume>) -> Result<Answer<Volume>, ApiError> {
    let shown = control.create_volume(&caller, body).await?;
    let location = format!("/volumes/{}", shown.id);
    Ok(Answer::created(shown, location))
}

use actix_web::web::Data;
use contract::instance::{ChangeInstance, Instance};
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, IfMatch, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    Endpoint::patch("change_instance", "/instance", Access::Operator)
        .tag("instance")
        .summary("Change the instance's settings")
        .description("With `If-Match`, only when nobody changed them in the meantime.")
        .body::<ChangeInstance>()
        .answers::<Instance>(200)
        .handle(handle)
}

async fn handle(
    requester: Requester,
    visitor: Visitor,
    control: Data<Control>,
    version: IfMatch,
    body: Body<ChangeInstance>,
) -> Result<Answer<Instance>, ApiError> {
    let (instance, version) = control.change_instance(&requester, &visitor, version.number()?, &body.0).await?;
    Ok(Answer::ok(instance).version(version))
}

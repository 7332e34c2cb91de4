use actix_web::web::Data;
use contract::instance::Instance;
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Requester};

pub fn endpoint() -> Endpoint {
    Endpoint::get("read_instance", "/instance", Access::Operator)
        .tag("instance")
        .summary("Read the instance's settings")
        .answers::<Instance>(200)
        .handle(handle)
}

async fn handle(requester: Requester, control: Data<Control>) -> Result<Answer<Instance>, ApiError> {
    let (instance, version) = control.read_instance(&requester).await?;
    Ok(Answer::ok(instance).version(version))
}

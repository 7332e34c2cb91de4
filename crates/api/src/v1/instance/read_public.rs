use actix_web::web::Data;
use contract::instance::PublicInstance;
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError};

pub fn endpoint() -> Endpoint {
    let access = Access::Public;
    Endpoint::get("read_public_instance", "/instance/public", access)
        .tag("instance")
        .summary("What anybody may know about the instance")
        .answers::<PublicInstance>(200)
        .handle(handle)
}

async fn handle(control: Data<Control>) -> Result<Answer<PublicInstance>, ApiError> {
    Ok(Answer::ok(control.read_public_instance().await?))
}

use actix_web::web::Data;
use contract::cleanup::Cleanup;
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    Endpoint::post("clean_up", "/instance/cleanup", Access::Operator)
        .tag("instance")
        .summary("Clean up the server now")
        .description("Only objects that carry this instance's labels; images that a release can return to stay.")
        .answers::<Cleanup>(200)
        .handle(handle)
}

async fn handle(requester: Requester, visitor: Visitor, control: Data<Control>) -> Result<Answer<Cleanup>, ApiError> {
    Ok(Answer::ok(control.clean_up(&requester, &visitor).await?))
}

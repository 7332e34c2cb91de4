use actix_web::web::Data;
use contract::accounts::SignedIn;
use contract::instance::SetUp;
use control::Control;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::gate::cookie;
use crate::{Answer, ApiError, Body, Device, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::Public;
    Endpoint::post("set_up", "/setup", access)
        .tag("instance")
        .summary("Set the instance up")
        .description("Once, with the token from the link that the first start prints. Makes the operator, an organization and a session.")
        .rate(RateClass::Login)
        .no_idempotency()
        .body::<SetUp>()
        .answers::<SignedIn>(201)
        .handle(handle)
}

async fn handle(visitor: Visitor, device: Device, control: Data<Control>, body: Body<SetUp>) -> Result<Answer<SignedIn>, ApiError> {
    let session = control.set_up(&visitor, device.0.as_deref(), &body.0).await?;
    let cookie = cookie(&control, &session.cookie);
    Ok(Answer::ok(session.answer).status(201).cookie(cookie))
}

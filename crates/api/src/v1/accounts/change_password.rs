use actix_web::web::Data;
use contract::accounts::{ChangePassword, SignedIn};
use control::Control;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::gate::cookie;
use crate::{Answer, ApiError, Body, Device, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::post("change_password", "/me/password", access)
        .tag("accounts")
        .summary("Change the password")
        .description("Ends every other session; this one gets a new cookie. Tokens stay.")
        .rate(RateClass::Login)
        .no_idempotency()
        .body::<ChangePassword>()
        .answers::<SignedIn>(200)
        .handle(handle)
}

async fn handle(
    requester: Requester,
    visitor: Visitor,
    device: Device,
    control: Data<Control>,
    body: Body<ChangePassword>,
) -> Result<Answer<SignedIn>, ApiError> {
    let session = control.change_password(&requester, &visitor, device.0.as_deref(), &body.0).await?;
    let cookie = cookie(&control, &session.cookie);
    Ok(Answer::ok(session.answer).cookie(cookie))
}

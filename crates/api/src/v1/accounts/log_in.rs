use actix_web::web::Data;
use contract::accounts::{LogIn, SignedIn};
use control::Control;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::gate::cookie;
use crate::{Answer, ApiError, Body, Device, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::Public;
    Endpoint::post("log_in", "/log-in", access)
        .tag("accounts")
        .summary("Sign in")
        .description("Sets the session cookie.")
        .rate(RateClass::Login)
        .no_idempotency()
        .body::<LogIn>()
        .answers::<SignedIn>(200)
        .handle(handle)
}

async fn handle(visitor: Visitor, device: Device, control: Data<Control>, body: Body<LogIn>) -> Result<Answer<SignedIn>, ApiError> {
    let session = control.log_in(&visitor, device.0.as_deref(), &body.0).await?;
    let cookie = cookie(&control, &session.cookie);
    Ok(Answer::ok(session.answer).cookie(cookie))
}

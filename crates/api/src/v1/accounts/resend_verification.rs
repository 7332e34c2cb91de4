use actix_web::web::Data;
use contract::accounts::{EmailOnly, Notice};
use control::Control;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::{Answer, ApiError, Body};

pub fn endpoint() -> Endpoint {
    let access = Access::Public;
    Endpoint::post("resend_verification", "/email-verifications/resend", access)
        .tag("accounts")
        .summary("Send a new verification code")
        .rate(RateClass::Login)
        .no_idempotency()
        .body::<EmailOnly>()
        .answers::<Notice>(202)
        .handle(handle)
}

async fn handle(control: Data<Control>, body: Body<EmailOnly>) -> Result<Answer<Notice>, ApiError> {
    Ok(Answer::ok(control.resend_verification(&body.0.email).await?).status(202))
}

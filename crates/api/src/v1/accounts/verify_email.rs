use actix_web::web::Data;
use contract::accounts::{Notice, VerifyEmail};
use control::Control;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::{Answer, ApiError, Body, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::Public;
    Endpoint::post("verify_email", "/email-verifications", access)
        .tag("accounts")
        .summary("Verify an e-mail address")
        .description("By the code (with the address) or by the token of the link. No session begins.")
        .rate(RateClass::Login)
        .no_idempotency()
        .body::<VerifyEmail>()
        .answers::<Notice>(200)
        .handle(handle)
}

async fn handle(visitor: Visitor, control: Data<Control>, body: Body<VerifyEmail>) -> Result<Answer<Notice>, ApiError> {
    Ok(Answer::ok(control.verify_email(&visitor, &body.0).await?))
}

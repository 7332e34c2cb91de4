use actix_web::web::Data;
use contract::accounts::{EmailOnly, Notice};
use control::Control;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::{Answer, ApiError, Body, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::Public;
    Endpoint::post("request_password_reset", "/password-resets", access)
        .tag("accounts")
        .summary("Ask for a link to reset the password")
        .rate(RateClass::Login)
        .no_idempotency()
        .body::<EmailOnly>()
        .answers::<Notice>(202)
        .handle(handle)
}

async fn handle(visitor: Visitor, control: Data<Control>, body: Body<EmailOnly>) -> Result<Answer<Notice>, ApiError> {
    Ok(Answer::ok(control.request_password_reset(&visitor, &body.0.email).await?).status(202))
}

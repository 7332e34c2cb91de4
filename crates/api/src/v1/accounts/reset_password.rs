use actix_web::web::Data;
use contract::accounts::{Notice, ResetPassword};
use control::Control;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::{Answer, ApiError, Body, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::Public;
    Endpoint::post("reset_password", "/password-resets/complete", access)
        .tag("accounts")
        .summary("Set a new password by the link")
        .description("Ends every session.")
        .rate(RateClass::Login)
        .no_idempotency()
        .body::<ResetPassword>()
        .answers::<Notice>(200)
        .handle(handle)
}

async fn handle(visitor: Visitor, control: Data<Control>, body: Body<ResetPassword>) -> Result<Answer<Notice>, ApiError> {
    Ok(Answer::ok(control.reset_password(&visitor, &body.0).await?))
}

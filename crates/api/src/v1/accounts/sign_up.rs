use actix_web::web::Data;
use contract::accounts::{Notice, SignUp};
use control::Control;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::{Answer, ApiError, Body, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::Public;
    Endpoint::post("sign_up", "/sign-up", access)
        .tag("accounts")
        .summary("Make an account")
        .description("A mail follows. The answer is the same for an address that has an account.")
        .rate(RateClass::Login)
        .no_idempotency()
        .body::<SignUp>()
        .answers::<Notice>(202)
        .handle(handle)
}

async fn handle(visitor: Visitor, control: Data<Control>, body: Body<SignUp>) -> Result<Answer<Notice>, ApiError> {
    Ok(Answer::ok(control.sign_up(&visitor, &body.0).await?).status(202))
}

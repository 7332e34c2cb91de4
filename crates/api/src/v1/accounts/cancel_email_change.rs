use actix_web::web::Data;
use contract::accounts::{Notice, TokenOnly};
use control::Control;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::{Answer, ApiError, Body, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::Public;
    Endpoint::post("cancel_email_change", "/email-changes/cancel", access)
        .tag("accounts")
        .summary("Call a change of the e-mail address off")
        .description("With the token from the mail to the old address. Ends every session.")
        .rate(RateClass::Login)
        .no_idempotency()
        .body::<TokenOnly>()
        .answers::<Notice>(200)
        .handle(handle)
}

async fn handle(visitor: Visitor, control: Data<Control>, body: Body<TokenOnly>) -> Result<Answer<Notice>, ApiError> {
    Ok(Answer::ok(control.cancel_email_change(&visitor, &body.0).await?))
}

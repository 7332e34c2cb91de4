use actix_web::web::Data;
use contract::accounts::{EmailOnly, Notice};
use control::Control;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::{Answer, ApiError, Body, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::post("request_email_change", "/me/email", access)
        .tag("accounts")
        .summary("Begin a change of the e-mail address")
        .rate(RateClass::Login)
        .no_idempotency()
        .step_up()
        .body::<EmailOnly>()
        .answers::<Notice>(202)
        .handle(handle)
}

async fn handle(requester: Requester, visitor: Visitor, control: Data<Control>, body: Body<EmailOnly>) -> Result<Answer<Notice>, ApiError> {
    Ok(Answer::ok(control.request_email_change(&requester, &visitor, &body.0.email).await?).status(202))
}

use actix_web::web::Data;
use contract::accounts::{ConfirmEmailChange, User};
use control::Control;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::{Answer, ApiError, Body, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::post("confirm_email_change", "/me/email/confirm", access)
        .tag("accounts")
        .summary("Confirm the new e-mail address")
        .rate(RateClass::Login)
        .no_idempotency()
        .body::<ConfirmEmailChange>()
        .answers::<User>(200)
        .handle(handle)
}

async fn handle(
    requester: Requester,
    visitor: Visitor,
    control: Data<Control>,
    body: Body<ConfirmEmailChange>,
) -> Result<Answer<User>, ApiError> {
    Ok(Answer::ok(control.confirm_email_change(&requester, &visitor, &body.0).await?))
}

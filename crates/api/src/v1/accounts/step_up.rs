use actix_web::web::Data;
use contract::accounts::{SignedIn, StepUp};
use control::Control;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::gate::cookie;
use crate::{Answer, ApiError, Body, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::post("step_up", "/me/step-up", access)
        .tag("accounts")
        .summary("Confirm the password")
        .description("For five minutes the session may do what is sensitive. It gets a new cookie and CSRF token.")
        .rate(RateClass::Login)
        .no_idempotency()
        .body::<StepUp>()
        .answers::<SignedIn>(200)
        .handle(handle)
}

async fn handle(requester: Requester, visitor: Visitor, control: Data<Control>, body: Body<StepUp>) -> Result<Answer<SignedIn>, ApiError> {
    let session = control.step_up(&requester, &visitor, &body.0.password).await?;
    let cookie = cookie(&control, &session.cookie);
    Ok(Answer::ok(session.answer).cookie(cookie))
}

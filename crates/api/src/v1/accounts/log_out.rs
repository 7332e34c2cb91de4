use actix_web::web::Data;
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::gate::ended;
use crate::{Answer, ApiError, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::post("log_out", "/log-out", access).tag("accounts").summary("Sign out").no_idempotency().answers_nothing().handle(handle)
}

async fn handle(requester: Requester, visitor: Visitor, control: Data<Control>) -> Result<Answer<()>, ApiError> {
    control.log_out(&requester, &visitor).await?;
    Ok(Answer::nothing().cookie(ended(&control)))
}

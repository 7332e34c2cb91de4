use actix_web::web::Data;
use contract::accounts::SessionsEnded;
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::post("revoke_other_sessions", "/me/sessions/revoke-others", access)
        .tag("accounts")
        .summary("End all other sessions")
        .no_idempotency()
        .answers::<SessionsEnded>(200)
        .handle(handle)
}

async fn handle(requester: Requester, visitor: Visitor, control: Data<Control>) -> Result<Answer<SessionsEnded>, ApiError> {
    Ok(Answer::ok(control.revoke_other_sessions(&requester, &visitor).await?))
}

use actix_web::web::Data;
use contract::accounts::{ChangeMe, Me};
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::patch("change_me", "/me", access)
        .tag("accounts")
        .summary("Change the own account")
        .body::<ChangeMe>()
        .answers::<Me>(200)
        .handle(handle)
}

async fn handle(requester: Requester, visitor: Visitor, control: Data<Control>, body: Body<ChangeMe>) -> Result<Answer<Me>, ApiError> {
    Ok(Answer::ok(control.change_me(&requester, &visitor, &body.0).await?))
}

use actix_web::web::Data;
use contract::accounts::Me;
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Requester};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::get("read_me", "/me", access).tag("accounts").summary("Who am I").answers::<Me>(200).handle(handle)
}

async fn handle(requester: Requester, control: Data<Control>) -> Result<Answer<Me>, ApiError> {
    Ok(Answer::ok(control.read_me(&requester).await?))
}

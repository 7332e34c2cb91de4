use actix_web::web::Data;
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::delete("delete_me", "/me", access).tag("accounts").summary("Delete the own account").step_up().handle(handle)
}

async fn handle(requester: Requester, visitor: Visitor, control: Data<Control>) -> Result<Answer<()>, ApiError> {
    control.delete_me(&requester, &visitor).await?;
    Ok(Answer::nothing())
}

use actix_web::web::{Data, Path};
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::delete("revoke_token", "/me/tokens/{token}", access).tag("tokens").summary("Revoke a token").handle(handle)
}

async fn handle(requester: Requester, visitor: Visitor, control: Data<Control>, path: Path<String>) -> Result<Answer<()>, ApiError> {
    control.revoke_token(&requester, &visitor, &path).await?;
    Ok(Answer::nothing())
}

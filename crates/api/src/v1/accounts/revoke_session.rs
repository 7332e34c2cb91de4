use actix_web::web::{Data, Path};
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::delete("revoke_session", "/me/sessions/{session}", access).tag("accounts").summary("End a session").handle(handle)
}

async fn handle(requester: Requester, visitor: Visitor, control: Data<Control>, path: Path<String>) -> Result<Answer<()>, ApiError> {
    control.revoke_session(&requester, &visitor, &path).await?;
    Ok(Answer::nothing())
}

use actix_web::web::Data;
use contract::organizations::{AcceptInvitation, Organization};
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::post("accept_invitation", "/invitations/accept", access)
        .tag("invitations")
        .summary("Accept an invitation")
        .no_idempotency()
        .body::<AcceptInvitation>()
        .answers::<Organization>(200)
        .handle(handle)
}

async fn handle(
    requester: Requester,
    visitor: Visitor,
    control: Data<Control>,
    body: Body<AcceptInvitation>,
) -> Result<Answer<Organization>, ApiError> {
    Ok(Answer::ok(control.accept_invitation(&requester, &visitor, &body.0).await?))
}

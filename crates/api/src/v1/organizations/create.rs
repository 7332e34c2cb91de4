use actix_web::web::Data;
use contract::organizations::{CreateOrganization, Organization};
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::post("create_organization", "/organizations", access)
        .tag("organizations")
        .summary("Make an organization")
        .idempotency_required()
        .body::<CreateOrganization>()
        .answers::<Organization>(201)
        .handle(handle)
}

async fn handle(
    requester: Requester,
    visitor: Visitor,
    control: Data<Control>,
    body: Body<CreateOrganization>,
) -> Result<Answer<Organization>, ApiError> {
    let created = control.create_organization(&requester, &visitor, &body.0).await?;
    let location = format!("/organizations/{}", created.id);
    Ok(Answer::created(created, location))
}

use actix_web::web::Data;
use contract::organizations::{CreateInvitation, CreatedInvitation};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::MembersWrite };
    Endpoint::post("create_invitation", "/organizations/{organization}/invitations", access)
        .tag("invitations")
        .summary("Invite somebody")
        .description("The link is in this answer only, for copying; it works for the invited address only. An earlier invitation of the address stops working.")
        .no_idempotency()
        .body::<CreateInvitation>()
        .answers::<CreatedInvitation>(201)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, body: Body<CreateInvitation>) -> Result<Answer<CreatedInvitation>, ApiError> {
    let created = control.create_invitation(&caller, &body.0).await?;
    let location = format!("/organizations/{}/invitations/{}", caller.organization, created.invitation.id);
    Ok(Answer::created(created, location))
}

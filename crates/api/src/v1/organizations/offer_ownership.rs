use actix_web::web::Data;
use contract::accounts::Notice;
use contract::organizations::TransferOwnership;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::OrganizationDelete };
    Endpoint::post("offer_ownership", "/organizations/{organization}/transfer", access)
        .tag("organizations")
        .summary("Offer the ownership to a member")
        .no_idempotency()
        .step_up()
        .body::<TransferOwnership>()
        .answers::<Notice>(202)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, body: Body<TransferOwnership>) -> Result<Answer<Notice>, ApiError> {
    Ok(Answer::ok(control.offer_ownership(&caller, &body.0).await?).status(202))
}

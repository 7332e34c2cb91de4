use actix_web::web::Data;
use contract::Page;
use contract::organizations::Invitation;
use contract::page::PageQuery;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::MembersWrite };
    Endpoint::get("list_invitations", "/organizations/{organization}/invitations", access)
        .tag("invitations")
        .summary("List the open invitations")
        .query::<PageQuery>()
        .answers::<Page<Invitation>>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, query: Query<PageQuery>) -> Result<Answer<Page<Invitation>>, ApiError> {
    Ok(Answer::ok(control.list_invitations(&caller, &query.0).await?))
}

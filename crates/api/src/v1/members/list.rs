use actix_web::web::Data;
use contract::Page;
use contract::organizations::Member;
use contract::page::PageQuery;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::MembersRead };
    Endpoint::get("list_members", "/organizations/{organization}/members", access)
        .tag("members")
        .summary("List the members")
        .query::<PageQuery>()
        .answers::<Page<Member>>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, query: Query<PageQuery>) -> Result<Answer<Page<Member>>, ApiError> {
    Ok(Answer::ok(control.list_members(&caller, &query.0).await?))
}

use actix_web::web::{Data, Path};
use contract::organizations::{ChangeMember, Member};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::MembersWrite };
    Endpoint::patch("change_member", "/organizations/{organization}/members/{user}", access)
        .tag("members")
        .summary("Change a member's role, switches or projects")
        .body::<ChangeMember>()
        .answers::<Member>(200)
        .handle(handle)
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    path: Path<(String, String)>,
    body: Body<ChangeMember>,
) -> Result<Answer<Member>, ApiError> {
    Ok(Answer::ok(control.change_member(&caller, &path.1, &body.0).await?))
}

use actix_web::web::{Data, Path};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::MembersWrite };
    Endpoint::delete("remove_member", "/organizations/{organization}/members/{user}", access)
        .tag("members")
        .summary("Remove a member")
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, path: Path<(String, String)>) -> Result<Answer<()>, ApiError> {
    control.remove_member(&caller, &path.1).await?;
    Ok(Answer::nothing())
}

use actix_web::web::{Data, Path};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::ProjectsWrite };
    Endpoint::delete("delete_tag", "/organizations/{organization}/tags/{tag}", access)
        .tag("tags")
        .summary("Delete a tag")
        .answers_nothing()
        .handle(handle)
}

async fn handle(caller: Caller, path: Path<(String, String)>, control: Data<Control>) -> Result<Answer<()>, ApiError> {
    control.delete_tag(&caller, &path.1).await?;
    Ok(Answer::nothing())
}

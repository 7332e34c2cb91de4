use actix_web::web::Data;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Upload, parameter: "upload", permission: Permission::DeploymentsWrite };
    Endpoint::delete("delete_upload", "/uploads/{upload}", access)
        .tag("uploads")
        .summary("Delete an upload")
        .answers_nothing()
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<()>, ApiError> {
    control.delete_upload(&caller).await?;
    Ok(Answer::nothing())
}

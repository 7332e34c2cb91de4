use actix_web::web::Data;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Volume, parameter: "volume", permission: Permission::ServicesDelete };
    Endpoint::delete("delete_volume", "/volumes/{volume}", access)
        .tag("volumes")
        .summary("Delete a volume with its data")
        .answers_nothing()
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<()>, ApiError> {
    control.delete_volume(&caller).await?;
    Ok(Answer::nothing())
}

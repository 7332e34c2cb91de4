use actix_web::web::Data;
use contract::services::StagedChanges;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesRead };
    Endpoint::get("read_changes", "/services/{service}/changes", access)
        .tag("services")
        .summary("Changes that wait for the next deployment")
        .answers::<StagedChanges>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<StagedChanges>, ApiError> {
    Ok(Answer::ok(control.staged_changes(&caller).await?))
}

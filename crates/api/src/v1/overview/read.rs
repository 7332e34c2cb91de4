use actix_web::web::Data;
use contract::overview::Overview;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::ProjectsRead };
    Endpoint::get("read_overview", "/organizations/{organization}/overview", access)
        .tag("overview")
        .summary("Read the organization at a glance")
        .answers::<Overview>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<Overview>, ApiError> {
    Ok(Answer::ok(control.read_overview(&caller).await?))
}

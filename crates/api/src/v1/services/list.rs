use actix_web::web::Data;
use contract::Page;
use contract::services::{Service, ServicesQuery};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Environment, parameter: "environment", permission: Permission::ServicesRead };
    Endpoint::get("list_services", "/environments/{environment}/services", access)
        .tag("services")
        .summary("List the services of an environment")
        .query::<ServicesQuery>()
        .answers::<Page<Service>>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<ServicesQuery>) -> Result<Answer<Page<Service>>, ApiError> {
    Ok(Answer::ok(control.list_services(&caller, &query).await?))
}

use actix_web::web::Data;
use contract::services::Domains;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesRead };
    Endpoint::get("list_domains", "/services/{service}/domains", access)
        .tag("domains")
        .summary("List the hosts of a service")
        .answers::<Domains>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<Domains>, ApiError> {
    Ok(Answer::ok(control.list_domains(&caller).await?))
}

use actix_web::web::{Data, Path};
use contract::services::Domain;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesWrite };
    Endpoint::post("make_domain_primary", "/services/{service}/domains/{domain}/primary", access)
        .tag("domains")
        .summary("Make a domain the primary one")
        .answers::<Domain>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, path: Path<(String, String)>) -> Result<Answer<Domain>, ApiError> {
    let (_, domain) = path.into_inner();
    Ok(Answer::ok(control.make_domain_primary(&caller, &domain).await?))
}

use actix_web::web::{Data, Path};
use contract::services::DeployQuery;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesWrite };
    Endpoint::delete("remove_domain", "/services/{service}/domains/{domain}", access)
        .tag("domains")
        .summary("Remove a domain")
        .query::<DeployQuery>()
        .answers_nothing()
        .handle(handle)
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    path: Path<(String, String)>,
    Query(query): Query<DeployQuery>,
) -> Result<Answer<()>, ApiError> {
    let (_, domain) = path.into_inner();
    control.remove_domain(&caller, &domain, query.deploy.unwrap_or(true)).await?;
    Ok(Answer::nothing())
}

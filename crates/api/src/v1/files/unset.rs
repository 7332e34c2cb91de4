use actix_web::web::{Data, Path};
use contract::services::DeployQuery;
use contract::variables::VariablesChanged;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::VariablesWrite };
    Endpoint::delete("unset_file", "/services/{service}/files/{name}", access)
        .tag("files")
        .summary("Delete a managed file")
        .query::<DeployQuery>()
        .answers::<VariablesChanged>(200)
        .handle(handle)
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    path: Path<(String, String)>,
    Query(query): Query<DeployQuery>,
) -> Result<Answer<VariablesChanged>, ApiError> {
    let (_, name) = path.into_inner();
    Ok(Answer::ok(control.unset_file(&caller, &name, query.deploy.unwrap_or(true)).await?))
}

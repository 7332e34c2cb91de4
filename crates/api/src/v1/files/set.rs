use actix_web::web::{Data, Path};
use contract::services::DeployQuery;
use contract::variables::{SetValue, VariablesChanged};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::VariablesWrite };
    Endpoint::put("set_file", "/services/{service}/files/{name}", access)
        .tag("files")
        .summary("Save a managed file")
        .body::<SetValue>()
        .query::<DeployQuery>()
        .answers::<VariablesChanged>(200)
        .handle(handle)
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    path: Path<(String, String)>,
    Query(query): Query<DeployQuery>,
    Body(body): Body<SetValue>,
) -> Result<Answer<VariablesChanged>, ApiError> {
    let (_, name) = path.into_inner();
    Ok(Answer::ok(control.set_file(&caller, &name, body.kind, body.value, query.deploy.unwrap_or(true)).await?))
}

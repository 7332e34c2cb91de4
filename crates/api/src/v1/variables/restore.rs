use actix_web::web::{Data, Path};
use contract::services::DeployQuery;
use contract::variables::{RestoreVersion, VariablesChanged};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller, Query};

pub fn endpoints() -> [Endpoint; 3] {
    let access = |kind, parameter| Access::Resource { kind, parameter, permission: Permission::VariablesWrite };
    [
        Endpoint::post("restore_project_variable", "/projects/{project}/variables/{name}/restore", access(Kind::Project, "project"))
            .tag("variables")
            .summary("Make an old version the present one again")
            .body::<RestoreVersion>()
            .query::<DeployQuery>()
            .answers::<VariablesChanged>(200)
            .handle(handle),
        Endpoint::post(
            "restore_environment_variable",
            "/environments/{environment}/variables/{name}/restore",
            access(Kind::Environment, "environment"),
        )
        .tag("variables")
        .summary("Make an old version the present one again")
        .body::<RestoreVersion>()
        .query::<DeployQuery>()
        .answers::<VariablesChanged>(200)
        .handle(handle),
        Endpoint::post("restore_service_variable", "/services/{service}/variables/{name}/restore", access(Kind::Service, "service"))
            .tag("variables")
            .summary("Make an old version the present one again")
            .body::<RestoreVersion>()
            .query::<DeployQuery>()
            .answers::<VariablesChanged>(200)
            .handle(handle),
    ]
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    path: Path<(String, String)>,
    Query(query): Query<DeployQuery>,
    Body(body): Body<RestoreVersion>,
) -> Result<Answer<VariablesChanged>, ApiError> {
    let (_, name) = path.into_inner();
    Ok(Answer::ok(control.restore_variable(&caller, &name, &body, query.deploy.unwrap_or(true)).await?))
}

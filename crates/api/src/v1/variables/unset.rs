use actix_web::web::{Data, Path};
use contract::services::DeployQuery;
use contract::variables::{ChangeVariables, VariablesChanged};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoints() -> [Endpoint; 3] {
    let access = |kind, parameter| Access::Resource { kind, parameter, permission: Permission::VariablesWrite };
    [
        Endpoint::delete("unset_project_variable", "/projects/{project}/variables/{name}", access(Kind::Project, "project"))
            .tag("variables")
            .summary("Unset one variable")
            .query::<DeployQuery>()
            .answers::<VariablesChanged>(200)
            .handle(handle),
        Endpoint::delete(
            "unset_environment_variable",
            "/environments/{environment}/variables/{name}",
            access(Kind::Environment, "environment"),
        )
        .tag("variables")
        .summary("Unset one variable")
        .query::<DeployQuery>()
        .answers::<VariablesChanged>(200)
        .handle(handle),
        Endpoint::delete("unset_service_variable", "/services/{service}/variables/{name}", access(Kind::Service, "service"))
            .tag("variables")
            .summary("Unset one variable")
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
) -> Result<Answer<VariablesChanged>, ApiError> {
    let (_, name) = path.into_inner();
    Ok(Answer::ok(
        control
            .change_variables(&caller, None, ChangeVariables { set: Vec::new(), unset: vec![name] }, query.deploy.unwrap_or(true))
            .await?,
    ))
}

use actix_web::web::{Data, Path};
use contract::services::DeployQuery;
use contract::variables::{ChangeVariables, SetValue, SetVariable, VariablesChanged};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller, Query};

pub fn endpoints() -> [Endpoint; 3] {
    let access = |kind, parameter| Access::Resource { kind, parameter, permission: Permission::VariablesWrite };
    [
        Endpoint::put("set_project_variable", "/projects/{project}/variables/{name}", access(Kind::Project, "project"))
            .tag("variables")
            .summary("Set one variable")
            .body::<SetValue>()
            .query::<DeployQuery>()
            .answers::<VariablesChanged>(200)
            .handle(handle),
        Endpoint::put("set_environment_variable", "/environments/{environment}/variables/{name}", access(Kind::Environment, "environment"))
            .tag("variables")
            .summary("Set one variable")
            .body::<SetValue>()
            .query::<DeployQuery>()
            .answers::<VariablesChanged>(200)
            .handle(handle),
        Endpoint::put("set_service_variable", "/services/{service}/variables/{name}", access(Kind::Service, "service"))
            .tag("variables")
            .summary("Set one variable")
            .body::<SetValue>()
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
    Body(body): Body<SetValue>,
) -> Result<Answer<VariablesChanged>, ApiError> {
    let (_, name) = path.into_inner();
    Ok(Answer::ok(
        control
            .change_variables(
                &caller,
                None,
                ChangeVariables { set: vec![SetVariable { name, kind: body.kind, value: body.value }], unset: Vec::new() },
                query.deploy.unwrap_or(true),
            )
            .await?,
    ))
}

use actix_web::web::{Data, Path};
use contract::variables::VariableVersions;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoints() -> [Endpoint; 3] {
    let access = |kind, parameter| Access::Resource { kind, parameter, permission: Permission::VariablesRead };
    [
        Endpoint::get("list_project_variable_versions", "/projects/{project}/variables/{name}/versions", access(Kind::Project, "project"))
            .tag("variables")
            .summary("List the versions of a variable")
            .answers::<VariableVersions>(200)
            .handle(handle),
        Endpoint::get(
            "list_environment_variable_versions",
            "/environments/{environment}/variables/{name}/versions",
            access(Kind::Environment, "environment"),
        )
        .tag("variables")
        .summary("List the versions of a variable")
        .answers::<VariableVersions>(200)
        .handle(handle),
        Endpoint::get("list_service_variable_versions", "/services/{service}/variables/{name}/versions", access(Kind::Service, "service"))
            .tag("variables")
            .summary("List the versions of a variable")
            .answers::<VariableVersions>(200)
            .handle(handle),
    ]
}

async fn handle(caller: Caller, control: Data<Control>, path: Path<(String, String)>) -> Result<Answer<VariableVersions>, ApiError> {
    let (_, name) = path.into_inner();
    Ok(Answer::ok(control.variable_versions(&caller, &name).await?))
}

use actix_web::web::Data;
use contract::variables::VariableSet;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoints() -> [Endpoint; 3] {
    let access = |kind, parameter| Access::Resource { kind, parameter, permission: Permission::VariablesRead };
    [
        Endpoint::get("list_project_variables", "/projects/{project}/variables", access(Kind::Project, "project"))
            .tag("variables")
            .summary("List variables; secret values are not shown")
            .answers::<VariableSet>(200)
            .handle(handle),
        Endpoint::get("list_environment_variables", "/environments/{environment}/variables", access(Kind::Environment, "environment"))
            .tag("variables")
            .summary("List variables; secret values are not shown")
            .answers::<VariableSet>(200)
            .handle(handle),
        Endpoint::get("list_service_variables", "/services/{service}/variables", access(Kind::Service, "service"))
            .tag("variables")
            .summary("List variables; secret values are not shown")
            .answers::<VariableSet>(200)
            .handle(handle),
    ]
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<VariableSet>, ApiError> {
    let shown = control.list_variables(&caller).await?;
    let version = shown.version.clone();
    Ok(Answer::ok(shown).version(version))
}

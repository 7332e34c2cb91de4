use actix_web::web::Data;
use contract::services::DeployQuery;
use contract::variables::{ReplaceVariables, VariablesChanged};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller, IfMatch, Query};

pub fn endpoints() -> [Endpoint; 3] {
    let access = |kind, parameter| Access::Resource { kind, parameter, permission: Permission::VariablesWrite };
    [
        Endpoint::put("replace_project_variables", "/projects/{project}/variables", access(Kind::Project, "project"))
            .tag("variables")
            .summary("Replace the whole set of variables")
            .body::<ReplaceVariables>()
            .query::<DeployQuery>()
            .answers::<VariablesChanged>(200)
            .handle(handle),
        Endpoint::put("replace_environment_variables", "/environments/{environment}/variables", access(Kind::Environment, "environment"))
            .tag("variables")
            .summary("Replace the whole set of variables")
            .body::<ReplaceVariables>()
            .query::<DeployQuery>()
            .answers::<VariablesChanged>(200)
            .handle(handle),
        Endpoint::put("replace_service_variables", "/services/{service}/variables", access(Kind::Service, "service"))
            .tag("variables")
            .summary("Replace the whole set of variables")
            .body::<ReplaceVariables>()
            .query::<DeployQuery>()
            .answers::<VariablesChanged>(200)
            .handle(handle),
    ]
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    IfMatch(if_match): IfMatch,
    Query(query): Query<DeployQuery>,
    Body(body): Body<ReplaceVariables>,
) -> Result<Answer<VariablesChanged>, ApiError> {
    Ok(Answer::ok(control.replace_variables(&caller, if_match.as_deref(), body, query.deploy.unwrap_or(true)).await?))
}

use actix_web::web::Data;
use contract::variables::{ImportQuery, ImportVariables, VariablesChanged};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller, Query};

pub fn endpoints() -> [Endpoint; 3] {
    let access = |kind, parameter| Access::Resource { kind, parameter, permission: Permission::VariablesWrite };
    [
        Endpoint::post("import_project_variables", "/projects/{project}/variables/import", access(Kind::Project, "project"))
            .tag("variables")
            .summary("Take a `.env` text in, or tell what it would change")
            .body::<ImportVariables>()
            .query::<ImportQuery>()
            .answers::<VariablesChanged>(200)
            .handle(handle),
        Endpoint::post(
            "import_environment_variables",
            "/environments/{environment}/variables/import",
            access(Kind::Environment, "environment"),
        )
        .tag("variables")
        .summary("Take a `.env` text in, or tell what it would change")
        .body::<ImportVariables>()
        .query::<ImportQuery>()
        .answers::<VariablesChanged>(200)
        .handle(handle),
        Endpoint::post("import_service_variables", "/services/{service}/variables/import", access(Kind::Service, "service"))
            .tag("variables")
            .summary("Take a `.env` text in, or tell what it would change")
            .body::<ImportVariables>()
            .query::<ImportQuery>()
            .answers::<VariablesChanged>(200)
            .handle(handle),
    ]
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    Query(query): Query<ImportQuery>,
    Body(body): Body<ImportVariables>,
) -> Result<Answer<VariablesChanged>, ApiError> {
    Ok(Answer::ok(control.import_variables(&caller, body, query.dry_run, query.deploy.unwrap_or(true)).await?))
}

use actix_web::web::{Data, Path};
use contract::services::DeployQuery;
use contract::variables::{ChangeVariables, SetValue, SetVariable, VariablesChanged};
use control::Control;
use domain::permission::Permission;

use super::level::on_each_level;
use crate::endpoint::Endpoint;
use crate::{Answer, ApiError, Body, Caller, Query};

pub fn endpoints() -> [Endpoint; 3] {
    on_each_level!(put, "set_", "_variable", "/{name}", Permission::VariablesWrite).map(|endpoint| {
        endpoint
            .tag("variables")
            .summary("Set one variable")
            .body::<SetValue>()
            .query::<DeployQuery>()
            .answers::<VariablesChanged>(200)
            .handle(handle)
    })
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

use actix_web::web::Data;
use contract::services::DeployQuery;
use contract::variables::{ChangeVariables, VariablesChanged};
use control::Control;
use domain::permission::Permission;

use super::level::on_each_level;
use crate::endpoint::Endpoint;
use crate::{Answer, ApiError, Body, Caller, IfMatch, Query};

pub fn endpoints() -> [Endpoint; 3] {
    on_each_level!(patch, "change_", "_variables", "", Permission::VariablesWrite).map(|endpoint| {
        endpoint
            .tag("variables")
            .summary("Set and unset variables")
            .body::<ChangeVariables>()
            .query::<DeployQuery>()
            .answers::<VariablesChanged>(200)
            .handle(handle)
    })
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    IfMatch(if_match): IfMatch,
    Query(query): Query<DeployQuery>,
    Body(body): Body<ChangeVariables>,
) -> Result<Answer<VariablesChanged>, ApiError> {
    Ok(Answer::ok(control.change_variables(&caller, if_match.as_deref(), body, query.deploy.unwrap_or(true)).await?))
}

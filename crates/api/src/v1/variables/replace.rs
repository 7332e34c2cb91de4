use actix_web::web::Data;
use contract::services::DeployQuery;
use contract::variables::{ReplaceVariables, VariablesChanged};
use control::Control;
use domain::permission::Permission;

use super::level::on_each_level;
use crate::endpoint::Endpoint;
use crate::{Answer, ApiError, Body, Caller, IfMatch, Query};

pub fn endpoints() -> [Endpoint; 3] {
    on_each_level!(put, "replace_", "_variables", "", Permission::VariablesWrite).map(|endpoint| {
        endpoint
            .tag("variables")
            .summary("Replace the whole set of variables")
            .body::<ReplaceVariables>()
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
    Body(body): Body<ReplaceVariables>,
) -> Result<Answer<VariablesChanged>, ApiError> {
    Ok(Answer::ok(control.replace_variables(&caller, if_match.as_deref(), body, query.deploy.unwrap_or(true)).await?))
}

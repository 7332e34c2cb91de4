use actix_web::web::Data;
use contract::variables::{ImportQuery, ImportVariables, VariablesChanged};
use control::Control;
use domain::permission::Permission;

use super::level::on_each_level;
use crate::endpoint::Endpoint;
use crate::{Answer, ApiError, Body, Caller, Query};

pub fn endpoints() -> [Endpoint; 3] {
    on_each_level!(post, "import_", "_variables", "/import", Permission::VariablesWrite).map(|endpoint| {
        endpoint
            .tag("variables")
            .summary("Take a `.env` text in, or tell what it would change")
            .body::<ImportVariables>()
            .query::<ImportQuery>()
            .answers::<VariablesChanged>(200)
            .handle(handle)
    })
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    Query(query): Query<ImportQuery>,
    Body(body): Body<ImportVariables>,
) -> Result<Answer<VariablesChanged>, ApiError> {
    Ok(Answer::ok(control.import_variables(&caller, body, query.dry_run, query.deploy.unwrap_or(true)).await?))
}

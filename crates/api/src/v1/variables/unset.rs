use actix_web::web::{Data, Path};
use contract::services::DeployQuery;
use contract::variables::{ChangeVariables, VariablesChanged};
use control::Control;
use domain::permission::Permission;

use super::level::on_each_level;
use crate::endpoint::Endpoint;
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoints() -> [Endpoint; 3] {
    on_each_level!(delete, "unset_", "_variable", "/{name}", Permission::VariablesWrite).map(|endpoint| {
        endpoint.tag("variables").summary("Unset one variable").query::<DeployQuery>().answers::<VariablesChanged>(200).handle(handle)
    })
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

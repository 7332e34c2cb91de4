use actix_web::web::{Data, Path};
use contract::services::DeployQuery;
use contract::variables::{RestoreVersion, VariablesChanged};
use control::Control;
use domain::permission::Permission;

use super::level::on_each_level;
use crate::endpoint::Endpoint;
use crate::{Answer, ApiError, Body, Caller, Query};

pub fn endpoints() -> [Endpoint; 3] {
    on_each_level!(post, "restore_", "_variable", "/{name}/restore", Permission::VariablesWrite).map(|endpoint| {
        endpoint
            .tag("variables")
            .summary("Make an old version the present one again")
            .body::<RestoreVersion>()
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
    Body(body): Body<RestoreVersion>,
) -> Result<Answer<VariablesChanged>, ApiError> {
    let (_, name) = path.into_inner();
    Ok(Answer::ok(control.restore_variable(&caller, &name, &body, query.deploy.unwrap_or(true)).await?))
}

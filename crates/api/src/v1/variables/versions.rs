use actix_web::web::{Data, Path};
use contract::variables::VariableVersions;
use control::Control;
use domain::permission::Permission;

use super::level::on_each_level;
use crate::endpoint::Endpoint;
use crate::{Answer, ApiError, Caller};

pub fn endpoints() -> [Endpoint; 3] {
    on_each_level!(get, "list_", "_variable_versions", "/{name}/versions", Permission::VariablesRead).map(|endpoint| {
        endpoint.tag("variables").summary("List the versions of a variable").answers::<VariableVersions>(200).handle(handle)
    })
}

async fn handle(caller: Caller, control: Data<Control>, path: Path<(String, String)>) -> Result<Answer<VariableVersions>, ApiError> {
    let (_, name) = path.into_inner();
    Ok(Answer::ok(control.variable_versions(&caller, &name).await?))
}

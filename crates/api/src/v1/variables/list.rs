use actix_web::web::Data;
use contract::variables::VariableSet;
use control::Control;
use domain::permission::Permission;

use super::level::on_each_level;
use crate::endpoint::Endpoint;
use crate::{Answer, ApiError, Caller};

pub fn endpoints() -> [Endpoint; 3] {
    on_each_level!(get, "list_", "_variables", "", Permission::VariablesRead).map(|endpoint| {
        endpoint.tag("variables").summary("List variables; secret values are not shown").answers::<VariableSet>(200).handle(handle)
    })
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<VariableSet>, ApiError> {
    let shown = control.list_variables(&caller).await?;
    let version = shown.version.clone();
    Ok(Answer::ok(shown).version(version))
}

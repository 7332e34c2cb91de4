use actix_web::web::Data;
use contract::variables::VariableSet;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::VariablesRead };
    Endpoint::get("list_files", "/services/{service}/files", access)
        .tag("files")
        .summary("List the managed files of a service")
        .answers::<VariableSet>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<VariableSet>, ApiError> {
    let shown = control.list_files(&caller).await?;
    let version = shown.version.clone();
    Ok(Answer::ok(shown).version(version))
}

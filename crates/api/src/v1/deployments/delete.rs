use actix_web::web::Data;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Deployment, parameter: "deployment", permission: Permission::DeploymentsWrite };
    Endpoint::delete("delete_deployment", "/deployments/{deployment}", access)
        .tag("deployments")
        .summary("Delete the record and log of an ended deployment")
        .answers_nothing()
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<()>, ApiError> {
    control.delete_deployment(&caller).await?;
    Ok(Answer::nothing())
}

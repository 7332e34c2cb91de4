use actix_web::web::Data;
use contract::deployments::{Deployment, WaitQuery};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Deployment, parameter: "deployment", permission: Permission::ServicesRead };
    Endpoint::get("read_deployment", "/deployments/{deployment}", access)
        .tag("deployments")
        .summary("Read a deployment")
        .description("With `wait`, answers at its end or after so many seconds.")
        .query::<WaitQuery>()
        .answers::<Deployment>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<WaitQuery>) -> Result<Answer<Deployment>, ApiError> {
    Ok(Answer::ok(control.read_deployment(&caller, query.wait).await?))
}

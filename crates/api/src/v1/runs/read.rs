use actix_web::web::Data;
use contract::deployments::WaitQuery;
use contract::runs::Run;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Run, parameter: "run", permission: Permission::ServicesRead };
    Endpoint::get("read_run", "/runs/{run}", access)
        .tag("runs")
        .summary("Read a one-off command")
        .query::<WaitQuery>()
        .answers::<Run>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<WaitQuery>) -> Result<Answer<Run>, ApiError> {
    Ok(Answer::ok(control.read_run(&caller, query.wait).await?))
}

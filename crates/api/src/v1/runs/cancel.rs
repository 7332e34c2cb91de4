use actix_web::web::Data;
use contract::runs::Run;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Run, parameter: "run", permission: Permission::ExecWrite };
    Endpoint::post("cancel_run", "/runs/{run}/cancel", access)
        .tag("runs")
        .summary("End a one-off command")
        .answers::<Run>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<Run>, ApiError> {
    Ok(Answer::ok(control.cancel_run(&caller).await?))
}

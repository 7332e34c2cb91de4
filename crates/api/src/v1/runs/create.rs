use actix_web::web::Data;
use contract::runs::{CreateRun, Run};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ExecWrite };
    Endpoint::post("create_run", "/services/{service}/runs", access)
        .tag("runs")
        .summary("Run a one-off command")
        .idempotency_required()
        .body::<CreateRun>()
        .answers::<Run>(202)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<CreateRun>) -> Result<Answer<Run>, ApiError> {
    let made = control.create_run(&caller, body).await?;
    let location = format!("/runs/{}", made.id);
    Ok(Answer::accepted(made, location))
}

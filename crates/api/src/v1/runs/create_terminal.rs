use actix_web::web::Data;
use contract::runs::{CreateTerminal, Terminal};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ExecWrite };
    Endpoint::post("create_terminal", "/services/{service}/terminals", access)
        .tag("runs")
        .summary("Get a ticket for a terminal")
        .description("Open the WebSocket at `path` within 30 seconds and send the ticket as the first message.")
        .no_idempotency()
        .body::<CreateTerminal>()
        .answers::<Terminal>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<CreateTerminal>) -> Result<Answer<Terminal>, ApiError> {
    Ok(Answer::ok(control.create_terminal(&caller, body).await?))
}

use actix_web::web::Data;
use contract::tokens::{CreateToken, CreatedToken};
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::post("create_token", "/me/tokens", access)
        .tag("tokens")
        .summary("Make a token")
        .description("The text of the token is in this answer only. A deploy token has the scope `deployments:write` and a service.")
        .no_idempotency()
        .step_up()
        .body::<CreateToken>()
        .answers::<CreatedToken>(201)
        .handle(handle)
}

async fn handle(
    requester: Requester,
    visitor: Visitor,
    control: Data<Control>,
    body: Body<CreateToken>,
) -> Result<Answer<CreatedToken>, ApiError> {
    let created = control.create_token(&requester, &visitor, &body.0).await?;
    let location = format!("/me/tokens/{}", created.token.id);
    Ok(Answer::created(created, location))
}

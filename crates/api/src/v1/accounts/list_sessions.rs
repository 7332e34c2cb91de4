use actix_web::web::Data;
use contract::Page;
use contract::accounts::Session;
use contract::page::PageQuery;
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Query, Requester};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::get("list_sessions", "/me/sessions", access)
        .tag("accounts")
        .summary("List the own sessions")
        .query::<PageQuery>()
        .answers::<Page<Session>>(200)
        .handle(handle)
}

async fn handle(requester: Requester, control: Data<Control>, query: Query<PageQuery>) -> Result<Answer<Page<Session>>, ApiError> {
    Ok(Answer::ok(control.list_sessions(&requester, &query.0).await?))
}

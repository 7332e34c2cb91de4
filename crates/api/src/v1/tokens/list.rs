use actix_web::web::Data;
use contract::Page;
use contract::page::PageQuery;
use contract::tokens::Token;
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Query, Requester};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::get("list_tokens", "/me/tokens", access)
        .tag("tokens")
        .summary("List the own tokens")
        .query::<PageQuery>()
        .answers::<Page<Token>>(200)
        .handle(handle)
}

async fn handle(requester: Requester, control: Data<Control>, query: Query<PageQuery>) -> Result<Answer<Page<Token>>, ApiError> {
    Ok(Answer::ok(control.list_tokens(&requester, &query.0).await?))
}

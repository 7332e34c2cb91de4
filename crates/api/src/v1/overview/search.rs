use actix_web::web::Data;
use contract::overview::{SearchQuery, SearchResult};
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Query, Requester, Visitor};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::get("search", "/search", access)
        .tag("overview")
        .summary("Search projects, environments and services")
        .query::<SearchQuery>()
        .answers::<SearchResult>(200)
        .handle(handle)
}

async fn handle(
    requester: Requester,
    visitor: Visitor,
    control: Data<Control>,
    Query(query): Query<SearchQuery>,
) -> Result<Answer<SearchResult>, ApiError> {
    Ok(Answer::ok(control.search(&requester, &visitor, &query).await?))
}

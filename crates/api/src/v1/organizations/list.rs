use actix_web::web::Data;
use contract::Page;
use contract::organizations::Organization;
use contract::page::PageQuery;
use control::Control;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Query, Requester};

pub fn endpoint() -> Endpoint {
    let access = Access::SignedIn;
    Endpoint::get("list_organizations", "/organizations", access)
        .tag("organizations")
        .summary("List the own organizations")
        .query::<PageQuery>()
        .answers::<Page<Organization>>(200)
        .handle(handle)
}

async fn handle(requester: Requester, control: Data<Control>, query: Query<PageQuery>) -> Result<Answer<Page<Organization>>, ApiError> {
    Ok(Answer::ok(control.list_organizations(&requester, &query.0).await?))
}

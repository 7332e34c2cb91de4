use actix_web::web::Data;
use contract::Page;
use contract::page::PageQuery;
use contract::releases::Release;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesRead };
    Endpoint::get("list_releases", "/services/{service}/releases", access)
        .tag("releases")
        .summary("List the releases of a service")
        .query::<PageQuery>()
        .answers::<Page<Release>>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<PageQuery>) -> Result<Answer<Page<Release>>, ApiError> {
    Ok(Answer::ok(control.list_releases(&caller, &query).await?))
}

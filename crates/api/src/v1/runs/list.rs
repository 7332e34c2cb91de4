use actix_web::web::Data;
use contract::Page;
use contract::page::PageQuery;
use contract::runs::Run;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesRead };
    Endpoint::get("list_runs", "/services/{service}/runs", access)
        .tag("runs")
        .summary("List the one-off commands of a service")
        .query::<PageQuery>()
        .answers::<Page<Run>>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<PageQuery>) -> Result<Answer<Page<Run>>, ApiError> {
    Ok(Answer::ok(control.list_runs(&caller, &query).await?))
}

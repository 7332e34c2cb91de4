use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use contract::logs::{LogPage, LogsQuery};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::LogsRead };
    Endpoint::get("read_service_logs", "/services/{service}/logs", access)
        .tag("logs")
        .summary("Read or follow the log of a service")
        .description(super::stream::DESCRIPTION)
        .query::<LogsQuery>()
        .answers::<LogPage>(200)
        .handle(handle)
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    request: HttpRequest,
    Query(query): Query<LogsQuery>,
) -> Result<HttpResponse, ApiError> {
    super::stream::answer(&caller, &control, Kind::Service, &request, query).await
}

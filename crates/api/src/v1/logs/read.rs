use actix_web::HttpRequest;
use actix_web::web::Data;
use contract::logs::{LogPage, LogsQuery};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use super::stream;
use crate::endpoint::{Access, Endpoint};
use crate::{Caller, Query};

/// Whatever writes a log is read in the same way.
pub fn endpoints() -> [Endpoint; 3] {
    [
        of(Kind::Deployment, "deployment", "read_deployment_logs", "/deployments/{deployment}/logs")
            .summary("Read or follow the log of a deployment"),
        of(Kind::Run, "run", "read_run_logs", "/runs/{run}/logs").summary("Read or follow the log of a one-off command"),
        of(Kind::Service, "service", "read_service_logs", "/services/{service}/logs").summary("Read or follow the log of a service"),
    ]
}

fn of(kind: Kind, parameter: &'static str, operation: &'static str, path: &'static str) -> Endpoint {
    Endpoint::get(operation, path, Access::Resource { kind, parameter, permission: Permission::LogsRead })
        .tag("logs")
        .description(stream::DESCRIPTION)
        .query::<LogsQuery>()
        .answers::<LogPage>(200)
        .handle(move |caller: Caller, control: Data<Control>, request: HttpRequest, Query(query): Query<LogsQuery>| async move {
            stream::answer(&caller, &control, kind, &request, query).await
        })
}

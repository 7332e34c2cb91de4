use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, Responder};
use contract::Page;
use contract::audit::{AuditEvent, AuditQuery};
use control::Control;

use super::list::{as_csv, wants_csv};
use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Query, Requester};

pub fn endpoint() -> Endpoint {
    Endpoint::get("list_instance_audit_events", "/instance/audit-events", Access::Operator)
        .tag("audit")
        .summary("List the instance's own audit log")
        .description("Accounts, settings, clean-up: what belongs to no organization. Newest first. With `Accept: text/csv` up to 10,000 rows as CSV.")
        .query::<AuditQuery>()
        .answers::<Page<AuditEvent>>(200)
        .handle(handle)
}

async fn handle(
    request: HttpRequest,
    requester: Requester,
    control: Data<Control>,
    Query(query): Query<AuditQuery>,
) -> Result<HttpResponse, ApiError> {
    if wants_csv(&request) {
        return Ok(as_csv(control.export_instance_audit_events(&requester, &query).await?));
    }
    Ok(Answer::ok(control.list_instance_audit_events(&requester, &query).await?).respond_to(&request))
}

use actix_web::http::header::ACCEPT;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, Responder};
use contract::Page;
use contract::audit::{AuditEvent, AuditQuery};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::AuditRead };
    Endpoint::get("list_audit_events", "/organizations/{organization}/audit-events", access)
        .tag("audit")
        .summary("List the audit log")
        .description("Newest first. With `Accept: text/csv` up to 10,000 rows as CSV.")
        .query::<AuditQuery>()
        .answers::<Page<AuditEvent>>(200)
        .handle(handle)
}

async fn handle(request: HttpRequest, caller: Caller, control: Data<Control>, query: Query<AuditQuery>) -> Result<HttpResponse, ApiError> {
    if wants_csv(&request) {
        return Ok(as_csv(control.export_audit_events(&caller, &query.0).await?));
    }
    Ok(Answer::ok(control.list_audit_events(&caller, &query.0).await?).respond_to(&request))
}

pub(super) fn wants_csv(request: &HttpRequest) -> bool {
    request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|accept| accept.starts_with("text/csv"))
}

pub(super) fn as_csv(text: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header(("content-disposition", "attachment; filename=\"audit-events.csv\""))
        .body(text)
}

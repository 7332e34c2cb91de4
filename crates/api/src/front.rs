//! Around the whole app, pages and unknown addresses included: a request id and a span that every line about the request
//! carries, the host, the security headers.

use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, web};
use contract::Code;
use domain::id::RequestId;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::gate::Gate;
use crate::problem::ApiError;

/// Longest `traceparent` (W3C Trace Context, version 00).
const TRACE_PARENT_LENGTH: usize = 55;

/// Middleware of the app.
pub async fn front(request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(gate) = request.app_data::<web::Data<Gate>>().cloned() else {
        return Ok(request.into_response(HttpResponse::InternalServerError().finish()).map_into_boxed_body());
    };
    let id = RequestId::new(gate.control.clock(), gate.control.entropy());
    request.extensions_mut().insert(id);
    let span = tracing::info_span!(
        "request",
        request_id = %id,
        method = %request.method(),
        route = Empty,
        operation = Empty,
        trace_id = Empty,
        status = Empty,
        duration_ms = Empty,
    );
    if let Some(trace) = trace_id(&request) {
        span.record("trace_id", trace.as_str());
    }
    answer(&gate, id, request, next).instrument(span).await
}

async fn answer(
    gate: &Gate,
    id: RequestId,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = Instant::now();
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let mut response = if gate.hosts.serves(&request, gate.peer_is_proxy(&request)) {
        next.call(request).await?.map_into_boxed_body()
    } else {
        let refusal = ApiError::new(
            Code::HostUnknown,
            "Seaway does not answer under this host name. Use the address of the setting `base_url`, or add the name to `hosts`.",
        );
        request.into_response(refusal.response(&id.to_string()))
    };
    crate::headers::secure(response.headers_mut(), gate.control.base_url().starts_with("https:"));
    let (span, status) = (Span::current(), response.status().as_u16());
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Some(route) = response.request().match_pattern() {
        span.record("route", route.as_str());
    }
    span.record("status", status);
    span.record("duration_ms", duration_ms);
    // Reads are many: their lines are for those who look for something.
    match (status, changes) {
        (500.., _) => tracing::warn!("answered"),
        (_, true) => tracing::info!("answered"),
        _ => tracing::debug!("answered"),
    }
    Ok(response)
}

/// The request's id; every request has one.
pub(crate) fn request_id(request: &impl HttpMessage) -> Option<RequestId> {
    request.extensions().get::<RequestId>().copied()
}

/// The trace of whoever calls, from a well-formed `traceparent`.
fn trace_id(request: &ServiceRequest) -> Option<String> {
    let text = request.headers().get("traceparent")?.to_str().ok().filter(|text| text.len() == TRACE_PARENT_LENGTH)?;
    let trace = text.split('-').nth(1).filter(|trace| trace.len() == 32)?;
    trace.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| trace.to_owned())
}

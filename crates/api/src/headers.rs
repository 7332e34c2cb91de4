//! Security headers of every answer, errors and pages included.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, web};

use crate::gate::Gate;

const ALWAYS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("x-frame-options", "DENY"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; \
         object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
];
/// Without `includeSubDomains`: apps below the panel's host may be served over plain http.
const STRICT_TRANSPORT_SECURITY: &str = "max-age=31536000";

/// Around the whole app: pages and unknown addresses do not pass the gate.
pub async fn on_every_answer(request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Result<ServiceResponse<BoxBody>, Error> {
    let https = request.app_data::<web::Data<Gate>>().is_some_and(|gate| gate.control.base_url().starts_with("https:"));
    let mut response = next.call(request).await?.map_into_boxed_body();
    secure(response.headers_mut(), https);
    Ok(response)
}

/// Sets what is not set yet. `https` adds HSTS.
pub fn secure(headers: &mut HeaderMap, https: bool) {
    for (name, value) in ALWAYS {
        if !headers.contains_key(name) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
    }
    if https {
        headers.insert(HeaderName::from_static("strict-transport-security"), HeaderValue::from_static(STRICT_TRANSPORT_SECURITY));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

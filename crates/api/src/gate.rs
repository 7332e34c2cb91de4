//! The one way to every handler. [`crate::front`] has given the request an id and checked its host; here: method → authentication → cross-site check → rate limit → resource and
//! permission → step-up → idempotency → handler → headers. Fails closed at each.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, ORIGIN};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, web};
use contract::Code;
use control::Control;
use control::access::{Actor, Origin, Presented, Principal, Via};
use domain::id::{Id, RequestId};

use crate::endpoint::{Access, Endpoint, Idempotency, RateClass};
use crate::host::Hosts;
use crate::idempotency;
use crate::openapi::ROOT;
use crate::problem::ApiError;
use crate::rate::{Limiter, Proven, Quota, Verdict};
use crate::routes::{Shared, Table};
use crate::scope::Limits;

pub const SESSION_COOKIE: &str = "__Host-seaway";
/// Over plain http on loopback browsers refuse `__Host-` cookies; then, and only then, this name is used.
pub const SESSION_COOKIE_INSECURE: &str = "seaway";
/// Another way to send a token, besides `Authorization: Bearer`.
const API_KEY_HEADER: &str = "x-api-key";
const CSRF_HEADER: &str = "x-csrf-token";

/// The cookie of a session. Over https (or any host but loopback) `__Host-` and Secure.
pub(crate) fn cookie(control: &Control, value: &domain::Secret<String>) -> Cookie<'static> {
    session_cookie(control, value.reveal().clone())
}

/// The cookie that ends the session in the browser.
pub(crate) fn ended(control: &Control) -> Cookie<'static> {
    let mut cookie = session_cookie(control, String::new());
    cookie.make_removal();
    cookie
}

fn session_cookie(control: &Control, value: String) -> Cookie<'static> {
    let insecure = is_plain_loopback(control.base_url());
    let name = if insecure { SESSION_COOKIE_INSECURE } else { SESSION_COOKIE };
    Cookie::build(name, value).path("/").http_only(true).secure(!insecure).same_site(SameSite::Lax).finish()
}

fn is_plain_loopback(base_url: &str) -> bool {
    let Some(rest) = base_url.strip_prefix("http://") else { return false };
    let host = rest.split('/').next().unwrap_or_default();
    let host = host.strip_prefix("[::1]").map_or_else(|| host.split(':').next().unwrap_or_default(), |_| "[::1]");
    host == "localhost" || host == "[::1]" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// What the gate needs besides the endpoint.
pub struct Gate {
    pub control: Control,
    pub limiter: Limiter,
    /// What was right lately; see [`Proven`].
    pub proven: Proven,
    /// The names that are answered to.
    pub hosts: Hosts,
    pub routes: Arc<Table>,
    /// Hops whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

/// Middleware of every resource of the API.
pub async fn gate(mut request: ServiceRequest, next: Next<impl MessageBody + 'static>) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(gate) = request.app_data::<web::Data<Gate>>().cloned() else {
        return Ok(request.into_response(HttpResponse::InternalServerError().finish()).map_into_boxed_body());
    };
    let Some(id) = crate::front::request_id(&request) else {
        return Ok(request.into_response(HttpResponse::InternalServerError().finish()).map_into_boxed_body());
    };
    let text = id.to_string();
    // Before anybody else holds the request: the parameters of the path are written into it.
    let found = gate.routes.find(&mut request);
    let http_request = request.request().clone();
    let mut response = match pass(&gate, id, found, request, next).await {
        Ok(response) => response,
        Err(error) => ServiceResponse::new(http_request, error.response(&text)),
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(HeaderName::from_static("request-id"), value);
    }
    Ok(response)
}

async fn pass(
    gate: &Gate,
    id: RequestId,
    found: Option<Arc<Shared>>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ApiError> {
    let shared = found.ok_or_else(nothing_here)?;
    let endpoint = declared(&shared, request.method())?;
    tracing::Span::current()
        .record("route", tracing::field::display(format_args!("{ROOT}{}", endpoint.path)))
        .record("operation", endpoint.operation);
    let origin = Origin { request: id, address: client_address(gate, &request), delivery: None };
    let principal = authenticate(gate, endpoint, &request, &origin).await?;
    let verdict = rate(gate, endpoint, principal.as_ref(), &origin)?;
    authorise(gate, endpoint, &request, principal.as_ref(), &origin).await?;
    if endpoint.step_up {
        step_up(principal.as_ref())?;
    }
    request.extensions_mut().insert(Limits { body_bytes_max: endpoint.body_bytes_max });
    request.extensions_mut().insert(origin.clone());
    let caller = principal.as_ref().map(|principal| principal.user.uuid());
    if let Some(principal) = principal {
        request.extensions_mut().insert(principal);
    }
    let pending = match endpoint.idempotency {
        Idempotency::None => None,
        _ => idempotency::begin(gate, endpoint, caller, &mut request).await?,
    };
    let mut response = match pending {
        Some(idempotency::Begun::Replay(replay)) => request.into_response(replay).map_into_boxed_body(),
        Some(idempotency::Begun::Fresh(ticket)) => {
            mark(&request, &ticket.delivery);
            let outcome = call(request, next, id).await;
            idempotency::finish(gate, ticket, outcome).await?
        }
        None => call(request, next, id).await?,
    };
    not_modified(&mut response);
    add_rate_headers(&mut response, &verdict);
    Ok(response)
}

/// The use case learns which tries are the same request.
fn mark(request: &ServiceRequest, delivery: &str) {
    let mut extensions = request.extensions_mut();
    if let Some(origin) = extensions.get_mut::<Origin>() {
        origin.delivery = Some(delivery.to_owned());
    }
    if let Some(actor) = extensions.get_mut::<Actor>() {
        actor.origin.delivery = Some(delivery.to_owned());
    }
}

async fn call(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    id: RequestId,
) -> Result<ServiceResponse<BoxBody>, ApiError> {
    match next.call(request).await {
        Ok(response) => match response.response().error().and_then(|error| error.as_error::<ApiError>()) {
            Some(error) => {
                let answer = error.response(&id.to_string());
                Ok(response.into_response(answer))
            }
            None => Ok(response.map_into_boxed_body()),
        },
        Err(error) => Err(framework_error(&error)),
    }
}

/// actix's own refusals (path, payload) never leave as plain text.
fn framework_error(error: &Error) -> ApiError {
    match error.as_response_error().status_code().as_u16() {
        404 => ApiError::new(Code::NotFound, "There is no such thing here. Check the address."),
        413 => ApiError::new(Code::BodyTooLarge, "The body is too large."),
        400..500 => ApiError::new(Code::BadRequest, "The request cannot be read. Check it against the API reference."),
        _ => {
            tracing::error!(%error, "the framework failed");
            ApiError::new(Code::Internal, "Something failed inside Seaway. The request id finds the cause in the log.")
        }
    }
}

/// For an address that nobody declared.
pub(crate) fn nothing_here() -> ApiError {
    ApiError::new(Code::NotFound, "There is nothing at this address. The reference is at /api-docs.")
}

fn declared<'a>(shared: &'a Shared, method: &Method) -> Result<&'a Endpoint, ApiError> {
    let known = || ApiError::new(Code::MethodNotAllowed, format!("This address knows {}.", shared.methods().join(", ")));
    shared.endpoint(method).ok_or_else(known)
}

impl Gate {
    pub(crate) fn peer_is_proxy(&self, request: &ServiceRequest) -> bool {
        request.peer_addr().is_some_and(|peer| self.trusted_proxies.iter().any(|network| network.contains(&peer.ip())))
    }
}

/// The socket's peer, or what a configured proxy says about it.
fn client_address(gate: &Gate, request: &ServiceRequest) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    if !gate.trusted_proxies.iter().any(|network| network.contains(&peer)) {
        return Some(peer);
    }
    // A proxy may append a field of its own instead of extending the first; the nearest hop stands last.
    let fields: Vec<&str> = request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok()).collect();
    let named = fields.join(",");
    let mut nearest = peer;
    for part in named.rsplit(',').map(str::trim) {
        let Ok(address) = part.parse::<IpAddr>() else { break };
        nearest = address;
        if !gate.trusted_proxies.iter().any(|network| network.contains(&address)) {
            break;
        }
    }
    Some(nearest)
}

async fn authenticate(gate: &Gate, endpoint: &Endpoint, request: &ServiceRequest, origin: &Origin) -> Result<Option<Principal>, ApiError> {
    let key = request.headers().get(API_KEY_HEADER).map(|value| value.to_str().ok().map(|text| ("key", text)));
    let bearer = request
        .headers()
        .get(AUTHORIZATION)
        .map(|value| value.to_str().ok().and_then(|text| text.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")))
        .or(key);
    let principal = match bearer {
        Some(Some((_, token))) => Some(known(gate, Presented::Bearer(token.trim()), origin).await?),
        Some(None) => {
            return Err(ApiError::new(Code::Unauthenticated, "Send the token as `Authorization: Bearer <token>`, or in `x-api-key`."));
        }
        None => match request.cookie(if is_plain_loopback(gate.control.base_url()) { SESSION_COOKIE_INSECURE } else { SESSION_COOKIE }) {
            Some(cookie) => match known(gate, Presented::SessionCookie(cookie.value()), origin).await {
                Ok(principal) => Some(principal),
                Err(_) if endpoint.access == Access::Public => None,
                Err(error) => return Err(error),
            },
            None => None,
        },
    };
    if principal.is_none() && endpoint.access != Access::Public {
        return Err(ApiError::new(Code::Unauthenticated, "Sign in, or send `Authorization: Bearer <token>`."));
    }
    let from_browser = matches!(principal.as_ref().map(|principal| &principal.via), Some(Via::Session { .. }));
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && (from_browser || endpoint.access == Access::Public) {
        // What works without a session needs no token of one (a log-in page in another tab); its origin is checked all the same.
        same_site(gate, request, principal.as_ref().filter(|_| endpoint.access != Access::Public))?;
    }
    Ok(principal)
}

/// Who shows this. Whoever shows wrong things too often is refused before anything is looked up; what was right lately is
/// not, so that others behind the same address are not shut out.
async fn known(gate: &Gate, presented: Presented<'_>, origin: &Origin) -> Result<Principal, ApiError> {
    let (Presented::Bearer(text) | Presented::SessionCookie(text)) = presented;
    let (digest, now, address) = (Proven::digest(text), Instant::now(), address_key(origin));
    let verdict = gate.limiter.look(RateClass::Failure, address, now);
    if !verdict.allowed && !gate.proven.knows(&digest, now) {
        return Err(limited(&verdict));
    }
    match gate.control.authenticate(presented, origin).await {
        Ok(principal) => {
            gate.proven.note(digest, now);
            Ok(principal)
        }
        Err(error) => {
            let error = ApiError::from(error);
            if matches!(error.code, Code::Unauthenticated | Code::AddressForbidden) {
                gate.limiter.check(RateClass::Failure, address, now);
            }
            Err(error)
        }
    }
}

/// Whom a limit by address counts: an IPv4 address, or the /64 of an IPv6 address.
fn address_key(origin: &Origin) -> u128 {
    match origin.address {
        Some(IpAddr::V4(address)) => u128::from(address.to_bits()),
        Some(IpAddr::V6(address)) => address.to_bits() >> 64,
        None => 0,
    }
}

fn limited(verdict: &Verdict) -> ApiError {
    control::ControlError::RateLimited { policy: verdict.policy, retry_after_seconds: verdict.wait_seconds() }.into()
}

/// Cross-site requests of a browser are refused: by Fetch Metadata or Origin, and for sessions by the token too.
fn same_site(gate: &Gate, request: &ServiceRequest, principal: Option<&Principal>) -> Result<(), ApiError> {
    let refuse = || ApiError::new(Code::CsrfRejected, "The request did not come from Seaway's own pages. Reload the page and try again.");
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = header("sec-fetch-site")
        && !matches!(site, "same-origin" | "none")
    {
        return Err(refuse());
    }
    if let Some(origin) = header(ORIGIN.as_str())
        && origin != gate.control.base_url().trim_end_matches('/')
    {
        return Err(refuse());
    }
    if let Some(Principal { via: Via::Session { csrf, .. }, .. }) = principal {
        let shown = header(CSRF_HEADER).ok_or_else(refuse)?;
        if !vault::constant_time_eq(shown.as_bytes(), csrf.as_bytes()) {
            return Err(refuse());
        }
    }
    Ok(())
}

fn rate(gate: &Gate, endpoint: &Endpoint, principal: Option<&Principal>, origin: &Origin) -> Result<Verdict, ApiError> {
    let caller = principal.map_or_else(|| address_key(origin), |principal| principal.user.uuid().as_u128());
    let now = Instant::now();
    let verdict = gate.limiter.check(endpoint.rate, caller, now);
    if !verdict.allowed {
        return Err(limited(&verdict));
    }
    let Some(Via::Token { id, rate: Some(rate), .. }) = principal.map(|principal| &principal.via) else { return Ok(verdict) };
    let quota = Quota { requests: rate.requests, window: Duration::from_secs(u64::from(rate.window_seconds)) };
    let own = gate.limiter.check_own("token", quota, id.uuid().as_u128(), now);
    match own.allowed {
        // Of two limits the nearer one is told.
        true => Ok(if own.remaining < verdict.remaining { own } else { verdict }),
        false => Err(limited(&own)),
    }
}

async fn authorise(
    gate: &Gate,
    endpoint: &Endpoint,
    request: &ServiceRequest,
    principal: Option<&Principal>,
    origin: &Origin,
) -> Result<(), ApiError> {
    match (endpoint.access, principal) {
        (Access::Public, _) | (Access::SignedIn, Some(_)) => Ok(()),
        (Access::Operator, Some(principal)) if principal.operator => Ok(()),
        (Access::Operator, Some(_)) => Err(ApiError::new(Code::NotFound, "There is no such thing here, or you have no access to it.")),
        (Access::Resource { kind, parameter, permission }, Some(principal)) => {
            let text = request.match_info().get(parameter).unwrap_or_default();
            let actor = gate.control.actor(principal, origin, kind, text).await?;
            if let Err(error) = actor.require(permission) {
                gate.control.record_denied(&actor, endpoint.operation, permission).await?;
                return Err(error.into());
            }
            request.extensions_mut().insert(actor);
            Ok(())
        }
        (_, None) => Err(ApiError::new(Code::Unauthenticated, "Sign in first.")),
    }
}

fn step_up(principal: Option<&Principal>) -> Result<(), ApiError> {
    match principal.map(|principal| &principal.via) {
        Some(Via::Session { fresh_for_step_up: false, .. }) => Err(ApiError::new(
            Code::StepUpRequired,
            "This needs a password given in the last minutes: POST /api/v1/me/step-up, then repeat the request.",
        )),
        _ => Ok(()),
    }
}

fn not_modified(response: &mut ServiceResponse<BoxBody>) {
    let Some(tag) = response.headers().get(ETAG).cloned() else { return };
    let matches = response.request().headers().get(IF_NONE_MATCH).is_some_and(|wanted| {
        wanted.to_str().is_ok_and(|list| list.split(',').any(|one| one.trim() == "*" || one.trim().as_bytes() == tag.as_bytes()))
    });
    let reads = matches!(*response.request().method(), Method::GET | Method::HEAD);
    if matches && reads && response.status().is_success() {
        *response.response_mut() = HttpResponse::NotModified().insert_header((ETAG, tag)).finish();
    }
}

fn add_rate_headers(response: &mut ServiceResponse<BoxBody>, verdict: &Verdict) {
    let headers = response.headers_mut();
    for (name, value) in [("ratelimit-policy", verdict.policy_header()), ("ratelimit", verdict.remaining_header())] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

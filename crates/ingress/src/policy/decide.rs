//! What becomes of a request before it is sent to a replica. The order: who may come at all, how often, where it belongs,
//! maintenance, the browser's question about CORS, the password.

use std::net::IpAddr;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri,
    header::{CACHE_CONTROL, LOCATION},
};
use tokio::time::Instant;

use super::{address, auth::Gatekeeper, compiled::Compiled, compress::Compressor, negotiate, rate::Rates, redirects::Asked};
use crate::{
    body::ResponseBody,
    pages::{Failure, Page},
    routes::RouteState,
};

/// What is known of a request.
#[derive(Debug)]
pub struct Visit<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
    /// Normalised.
    pub host: &'a str,
    /// As the client wrote it, with its port.
    pub authority: &'a str,
    pub scheme: &'a str,
    /// Normalised.
    pub path: &'a str,
    pub client: IpAddr,
    pub state: Option<RouteState>,
}

/// `Ok(None)`: the app answers. `Ok(Some)`: that is the answer.
pub async fn decide(
    policy: &Compiled,
    gate: &Gatekeeper,
    rates: &Rates,
    visit: &Visit<'_>,
) -> Result<Option<Response<ResponseBody>>, Failure> {
    if policy.is_open {
        return Ok(None);
    }
    let is_allowed = policy.allow.is_empty() || address::is_in(&policy.allow, visit.client);
    if !is_allowed || address::is_in(&policy.deny, visit.client) {
        return Err(Page::AddressRefused.into());
    }
    if visit.state == Some(RouteState::Paused) && policy.health_path.as_deref() == Some(visit.path) {
        return Ok(Some(plain(StatusCode::OK, "paused")));
    }
    if !policy.rate_limits.is_empty()
        && let Err(seconds) = rates.take(&policy.rate_limits, visit.client, Instant::now())
    {
        return Err(Failure { page: Page::TooManyRequests, retry_after_seconds: Some(seconds) });
    }
    if let Some(response) = redirected(policy, visit) {
        return Ok(Some(response));
    }
    if let Some(maintenance) = &policy.maintenance
        && !address::is_in(&maintenance.allow, visit.client)
    {
        return Err(Failure { page: Page::Maintenance, retry_after_seconds: maintenance.retry_after_seconds });
    }
    if let Some(response) = policy.cors.as_ref().and_then(|cors| cors.preflight(visit.method, visit.headers)) {
        return Ok(Some(response));
    }
    if !policy.users.is_empty() {
        gate.check(&policy.users, visit.headers).await?;
    }
    Ok(None)
}

fn redirected(policy: &Compiled, visit: &Visit<'_>) -> Option<Response<ResponseBody>> {
    let port = visit.authority.rsplit_once(':').map_or("", |(_, port)| port);
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = if is_port { visit.authority.get(visit.authority.len() - port.len() - 1..).unwrap_or_default() } else { "" };
    let query = visit.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let asked = Asked { scheme: visit.scheme, host: visit.host, port, path: visit.path, query: &query };
    policy.redirects.iter().find_map(|redirect| {
        let location = HeaderValue::from_str(&redirect.location(asked)?).ok()?;
        let mut response = plain(redirect.status(visit.method), "");
        response.headers_mut().insert(LOCATION, location);
        Some(response)
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::page(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    if status == StatusCode::OK {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// What an answer needs to know of its request.
#[derive(Debug, Default)]
pub struct Wishes {
    pub accept_encoding: Option<HeaderValue>,
    pub origin: Option<HeaderValue>,
    pub method: Method,
    /// Cookies of the ingress.
    pub cookies: Vec<(HeaderName, HeaderValue)>,
    /// The prefix that the app does not see.
    pub stripped: Option<String>,
    pub is_for_people: bool,
}

impl Wishes {
    pub fn new(method: &Method, headers: &HeaderMap) -> Self {
        let asks_for_html = |accept: &HeaderValue| accept.as_bytes().windows(9).any(|part| part == b"text/html");
        Self {
            accept_encoding: headers.get(http::header::ACCEPT_ENCODING).cloned(),
            origin: headers.get(http::header::ORIGIN).cloned(),
            method: method.clone(),
            cookies: Vec::new(),
            stripped: None,
            is_for_people: headers.get_all(http::header::ACCEPT).iter().any(asks_for_html),
        }
    }
}

/// Finishes an answer of the app.
pub fn finish(policy: &Compiled, wishes: Wishes, mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    if let Some(prefix) = &wishes.stripped {
        super::headers::move_below(response.headers_mut(), prefix);
    }
    for (name, value) in wishes.cookies {
        response.headers_mut().append(name, value);
    }
    if policy.leaves_answers {
        return response;
    }
    dress(policy, wishes.origin.as_ref(), response.headers_mut());
    if policy.compress && response.body().is_relayed() {
        let status = response.status();
        let coding = negotiate::choose(wishes.accept_encoding.as_ref(), &wishes.method, status, response.headers_mut());
        if let Some(coding) = coding
            && let Some(compressor) = Compressor::try_new(coding)
        {
            negotiate::mark(response.headers_mut(), coding);
            return response.map(|body| body.compressed(compressor));
        }
    }
    response
}

/// Finishes an answer that the ingress made itself: the owner's own page where there is one.
pub fn finish_page(policy: &Compiled, page: Page, wishes: &Wishes, mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    if policy.leaves_answers && policy.maintenance.is_none() {
        return response;
    }
    if page == Page::Maintenance
        && wishes.is_for_people
        && let Some(maintenance) = policy.maintenance.as_ref().filter(|maintenance| !maintenance.message.is_empty())
    {
        response = response.map(|_| ResponseBody::page(Bytes::from(Page::message_html(&maintenance.message))));
    }
    let own = policy.error_pages.iter().find(|(status, _)| *status == response.status().as_u16());
    if let Some((_, html)) = own.filter(|_| wishes.is_for_people) {
        let html = html.clone();
        // The owner's page may load styles and pictures of the owner: our rule for our pages does not fit.
        response.headers_mut().remove(http::header::CONTENT_SECURITY_POLICY);
        response = response.map(|_| ResponseBody::page(html));
    }
    dress(policy, wishes.origin.as_ref(), response.headers_mut());
    response
}

fn dress(policy: &Compiled, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    for edit in &policy.response_edits {
        edit.apply(headers);
    }
    if let Some(cors) = &policy.cors {
        cors.apply(origin, headers);
    }
}

//! A route's policy, made ready once when the route becomes active.

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

use super::{cors::CompiledCors, headers::Edit, redirects::CompiledRedirect};
use crate::routes::{
    Redirect, ServiceRoute,
    policy::{AccessLog, BasicUser, Maintenance, RateLimit},
};

#[derive(Debug, Default)]
pub struct Compiled {
    /// Nothing has to be asked of a request: the common case costs one look.
    pub is_open: bool,
    /// Nothing has to be done to an answer.
    pub leaves_answers: bool,
    pub redirects: Vec<CompiledRedirect>,
    pub users: Vec<BasicUser>,
    pub allow: Vec<IpNet>,
    pub deny: Vec<IpNet>,
    pub rate_limits: Vec<RateLimit>,
    pub maintenance: Option<Maintenance>,
    pub request_edits: Vec<Edit>,
    pub response_edits: Vec<Edit>,
    pub cors: Option<CompiledCors>,
    pub compress: bool,
    pub trusted_proxies: Vec<IpNet>,
    pub error_pages: Vec<(u16, bytes::Bytes)>,
    pub health_path: Option<String>,
    pub access_log: Option<AccessLog>,
}

impl Compiled {
    /// Of a service without a route.
    pub fn open() -> Self {
        Self { is_open: true, leaves_answers: true, ..Self::default() }
    }

    /// `route` was validated; what cannot be compiled all the same is left out and named in the log.
    pub fn new(route: &ServiceRoute) -> Self {
        let policy = &route.policy;
        let redirects = route.redirects.iter().filter_map(|redirect| compile_redirect(&route.service, redirect)).collect();
        let mut compiled = Self {
            is_open: false,
            leaves_answers: false,
            redirects,
            users: policy.basic_auth.clone(),
            allow: policy.allow.clone(),
            deny: policy.deny.clone(),
            rate_limits: policy.rate_limits.clone(),
            maintenance: policy.maintenance.clone(),
            request_edits: policy.request_headers.iter().filter_map(Edit::new).collect(),
            response_edits: policy.response_headers.iter().filter_map(Edit::new).collect(),
            cors: policy.cors.as_ref().map(CompiledCors::new),
            compress: policy.compress,
            trusted_proxies: policy.trusted_proxies.clone(),
            error_pages: policy.error_pages.iter().map(|(status, page)| (*status, bytes::Bytes::from(page.clone()))).collect(),
            health_path: policy.health_path.clone(),
            access_log: policy.access_log.clone(),
        };
        compiled.is_open = compiled.redirects.is_empty()
            && compiled.users.is_empty()
            && compiled.allow.is_empty()
            && compiled.deny.is_empty()
            && compiled.rate_limits.is_empty()
            && compiled.maintenance.is_none()
            && compiled.cors.is_none()
            && compiled.health_path.is_none();
        compiled.leaves_answers =
            compiled.response_edits.is_empty() && compiled.cors.is_none() && !compiled.compress && compiled.error_pages.is_empty();
        compiled
    }
}

fn compile_redirect(service: &str, redirect: &Redirect) -> Option<CompiledRedirect> {
    CompiledRedirect::new(redirect).inspect_err(|error| tracing::warn!(service, %error, "a redirect is left out")).ok()
}

/// A cookie of the ingress.
pub fn set_cookie(name: &str, value: &str, max_age_seconds: Option<u32>, is_secure: bool) -> Option<(HeaderName, HeaderValue)> {
    let age = max_age_seconds.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let secure = if is_secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}{secure}");
    HeaderValue::from_str(&text).ok().map(|value| (http::header::SET_COOKIE, value))
}

/// The value of one cookie of a request; the first where it is there twice.
pub fn cookie<'a>(headers: &'a http::HeaderMap, name: &str) -> Option<&'a str> {
    let fields = headers.get_all(http::header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    fields
        .flat_map(|field| field.split(';'))
        .find_map(|pair| pair.trim().split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
}

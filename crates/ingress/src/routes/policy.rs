//! What a service's owner may say about its traffic. Everything is off by default.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{RouteError, at_most, range};

/// Users of basic auth.
pub const USERS_MAX: usize = 64;
/// Networks of one list.
pub const NETWORKS_MAX: usize = 512;
/// Rate limits of one service.
pub const RATE_LIMITS_MAX: usize = 4;
/// Header edits of one direction.
pub const HEADER_EDITS_MAX: usize = 32;
/// Bytes of the value of one edit.
pub const HEADER_VALUE_BYTES_MAX: usize = 4_096;
/// Origins of the CORS preset.
pub const ORIGINS_MAX: usize = 64;
/// Bytes of one error page or maintenance message.
pub const PAGE_BYTES_MAX: usize = 64 * 1024;
/// Answers that an owner may give a page of their own.
pub const ERROR_PAGE_STATUSES: [u16; 8] = [401, 403, 404, 413, 429, 502, 503, 504];
/// Longest period of a rate limit.
pub const PERIOD_SECONDS_MAX: u32 = 3_600;

/// See each field; the order of the checks is in `policy::decide`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Anybody of these gets in; empty: no question is asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub basic_auth: Vec<BasicUser>,
    /// Only these may come; empty: everybody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<IpNet>,
    /// These may not, also when `allow` names them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<IpNet>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// 503 with a page instead of the app, in every state of the route. The control plane sends it with every route, so it
    /// outlives a deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// On the way to the app.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_headers: Vec<HeaderEdit>,
    /// On the way to the client.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<HeaderEdit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// gzip, br or zstd for texts that the app sends as they are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compress: bool,
    /// Proxies in front of this service whose word on the client is believed, besides those of the instance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<IpNet>,
    /// HTML for answers that the ingress makes itself, by status.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub error_pages: BTreeMap<u16, String>,
    /// Answered with 200 by the ingress while the route is `paused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_path: Option<String>,
    /// At a switch WebSockets get a close frame 1012 after this; missing: at the end of the drain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub websocket_drain_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLog>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicUser {
    pub name: String,
    /// argon2id (`$argon2id$…`) or bcrypt (`$2b$…`, `$2y$…`); never the password.
    pub password_hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    pub per: RatePer,
    pub requests: u32,
    pub period_seconds: u32,
    /// Requests at once on top of the even flow; 0: as many as `requests`.
    #[serde(default)]
    pub burst: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RatePer {
    /// An IPv6 /64 counts as one.
    Client,
    /// All clients together.
    Route,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sticky {
    #[serde(default = "sticky_cookie")]
    pub cookie: String,
    /// Missing: until the browser is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_seconds: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Maintenance {
    /// Plain text for the page; empty: a general sentence.
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
    /// These see the app.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<IpNet>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderEdit {
    pub name: String,
    /// Missing: the header is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    /// `https://a.test`; `*` alone: everybody (then without credentials).
    pub origins: Vec<String>,
    pub credentials: bool,
    /// Missing: the usual ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Empty: what the browser asks for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<String>,
    pub max_age_seconds: u32,
}

/// One JSON line for each request. Without more: time, method, path, status, times, bytes, release and a truncated address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLog {
    pub full_address: bool,
    pub query: bool,
    pub user_agent: bool,
    pub referer: bool,
}

impl Policy {
    pub(super) fn validate(&self) -> Result<(), RouteError> {
        let refuse = |what: &'static str, reason: String| Err(RouteError::Policy { what, reason });
        at_most("users", self.basic_auth.len(), USERS_MAX)?;
        for user in &self.basic_auth {
            if user.name.is_empty() || user.name.len() > 100 || user.name.contains(':') || user.name.chars().any(char::is_control) {
                return refuse("basic_auth", "a name has 1 to 100 bytes, no colon and no control character".to_owned());
            }
            crate::policy::password::check_hash(&user.password_hash)
                .or_else(|reason| refuse("basic_auth", format!("{}: {reason}", user.name)))?;
        }
        for list in [&self.allow, &self.deny, &self.trusted_proxies] {
            at_most("networks", list.len(), NETWORKS_MAX)?;
        }
        at_most("rate limits", self.rate_limits.len(), RATE_LIMITS_MAX)?;
        for limit in &self.rate_limits {
            range("rate_limits.requests", u64::from(limit.requests), 1, 1_000_000)?;
            range("rate_limits.period_seconds", u64::from(limit.period_seconds), 1, u64::from(PERIOD_SECONDS_MAX))?;
            range("rate_limits.burst", u64::from(limit.burst), 0, 1_000_000)?;
        }
        if let Some(sticky) = &self.sticky {
            validate_cookie_name(&sticky.cookie)?;
        }
        if let Some(maintenance) = &self.maintenance {
            at_most("bytes of the maintenance message", maintenance.message.len(), PAGE_BYTES_MAX)?;
            at_most("networks", maintenance.allow.len(), NETWORKS_MAX)?;
        }
        for edits in [&self.request_headers, &self.response_headers] {
            at_most("header edits", edits.len(), HEADER_EDITS_MAX)?;
            edits.iter().try_for_each(HeaderEdit::validate)?;
        }
        if let Some(cors) = &self.cors {
            cors.validate()?;
        }
        for (status, page) in &self.error_pages {
            at_most("bytes of an error page", page.len(), PAGE_BYTES_MAX)?;
            if !ERROR_PAGE_STATUSES.contains(status) {
                return refuse("error_pages", format!("{status} is not one of {ERROR_PAGE_STATUSES:?}"));
            }
        }
        if let Some(path) = &self.health_path {
            super::place::validate_path(path)?;
        }
        range("websocket_drain_ms", self.websocket_drain_ms.unwrap_or(0), 0, super::DRAIN_MS_MAX)
    }
}

impl HeaderEdit {
    fn validate(&self) -> Result<(), RouteError> {
        let refuse = |reason: String| Err(RouteError::Policy { what: "headers", reason });
        let Ok(name) = http::HeaderName::from_bytes(self.name.as_bytes()) else {
            return refuse(format!("{:?} is no header name", self.name.chars().take(100).collect::<String>()));
        };
        if crate::policy::headers::is_reserved(&name) {
            return refuse(format!("{name} frames the message or is ours to set"));
        }
        match &self.value {
            Some(value) if value.len() > HEADER_VALUE_BYTES_MAX || http::HeaderValue::from_str(value).is_err() => {
                refuse(format!("the value of {name} is longer than {HEADER_VALUE_BYTES_MAX} bytes or holds a control character"))
            }
            _ => Ok(()),
        }
    }
}

impl Cors {
    fn validate(&self) -> Result<(), RouteError> {
        let refuse = |reason: &str| Err(RouteError::Policy { what: "cors", reason: reason.to_owned() });
        for list in [&self.origins, &self.methods, &self.headers, &self.expose] {
            at_most("entries of the CORS preset", list.len(), ORIGINS_MAX)?;
        }
        let is_token = |text: &String| http::HeaderName::from_bytes(text.as_bytes()).is_ok();
        if !self.methods.iter().chain(&self.headers).chain(&self.expose).all(is_token) {
            return refuse("a method or header is no token");
        }
        let is_any = self.origins.iter().any(|origin| origin == "*");
        if self.origins.is_empty() || (is_any && self.origins.len() > 1) {
            return refuse("say which origins, or * alone");
        }
        if is_any && self.credentials {
            return refuse("* with credentials would let every site act as the visitor; name the origins");
        }
        let is_origin = |origin: &String| {
            let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            origin == "*" || rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'))
        };
        if !self.origins.iter().all(is_origin) {
            return refuse("an origin is a scheme, a host and at most a port: https://a.test");
        }
        range("cors.max_age_seconds", u64::from(self.max_age_seconds), 0, 86_400)
    }
}

pub(super) fn validate_cookie_name(name: &str) -> Result<(), RouteError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.len() <= 100 && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(RouteError::Policy { what: "cookie", reason: "a cookie's name has 1 to 100 letters, digits, - and _".to_owned() })
}

fn sticky_cookie() -> String {
    "seaway-replica".to_owned()
}

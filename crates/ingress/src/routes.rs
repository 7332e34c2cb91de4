//! What the ingress serves, as pure data: one [`ServiceRoute`] per service, and the rule that a host has one owner.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
};

use serde::{Deserialize, Serialize};

pub mod canary;
pub mod place;
pub mod policy;
pub mod redirect;

pub use canary::Canary;
pub use place::Place;
pub use policy::Policy;
pub use redirect::{Redirect, RedirectRule};

/// Hosts of one service.
pub const HOSTS_MAX: usize = 256;
/// Replicas of one service on one server.
pub const REPLICAS_MAX: usize = 256;
/// Bytes of a service's or replica's id.
pub const ID_BYTES_MAX: usize = 100;
/// Request body, unless the route says otherwise.
pub const BODY_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// From the request's start to the head of the replica's answer, unless the route says otherwise.
pub const REQUEST_TIMEOUT_MS: u64 = 60_000;
/// Silence inside an answer's body, unless the route says otherwise.
pub const RESPONSE_IDLE_TIMEOUT_MS: u64 = 15 * 60_000;
/// Grace of a drain, unless the route says otherwise.
pub const DRAIN_MS: u64 = 30_000;
/// Longest grace of a drain.
pub const DRAIN_MS_MAX: u64 = 300_000;
/// Longest wait of a request whose service is not there at this moment.
pub const HOLD_MS_MAX: u64 = 300_000;
/// Attempts of one request, the first included.
pub const ATTEMPTS_MAX: u8 = 3;

/// Everything about one service. A change is always the whole of it, under a generation that never goes back.
/// A field that this version does not know is refused: a policy that is silently left out would open what it closes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceRoute {
    /// Opaque id: letters, digits, `-` and `_`.
    pub service: String,
    /// Fencing: a generation below the stored one is refused; an equal one replaces (one worker, several steps).
    pub generation: u64,
    /// Whole hosts: lower case, IDNA applied, no port, or `*.` before one. Each belongs to one service only.
    pub hosts: Vec<String>,
    /// Places with more to say than a whole host; a host with a prefix belongs to one service only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<Redirect>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: Policy,
    /// A second release beside the one in `replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// How long a request waits while `holding`, `paused` or `asleep`; missing: the limit of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_timeout_ms: Option<u64>,
    pub state: RouteState,
    /// Used while `serving`; in every other state no request reaches them.
    #[serde(default)]
    pub replicas: Vec<Replica>,
    #[serde(default = "body_bytes_max")]
    pub body_bytes_max: u64,
    /// Until the head of the answer; a streamed body is bounded by `response_idle_timeout_ms`.
    #[serde(default = "request_timeout_ms")]
    pub request_timeout_ms: u64,
    /// 0 turns it off.
    #[serde(default = "response_idle_timeout_ms")]
    pub response_idle_timeout_ms: u64,
    /// Grace of a drain that names none.
    #[serde(default = "drain_ms")]
    pub drain_ms: u64,
    #[serde(default)]
    pub retry: RetryPolicy,
    /// What https does for its hosts.
    #[serde(default)]
    pub https: HttpsPolicy,
    /// What the replicas are spoken to in.
    #[serde(default)]
    pub app_protocol: AppProtocol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteState {
    /// Requests go to the replicas.
    Serving,
    /// Nothing serves yet: 503 with Retry-After.
    Deploying,
    /// It served and does not any more: 502.
    Crashed,
    /// Stopped by its owner: 503.
    Stopped,
    /// Requests wait, bounded in time and number (hand-over of a service with a single writer).
    Holding,
    /// Like `holding`, asked for by the owner: 504 when it takes too long.
    Paused,
    /// Nothing runs. A request asks for the wake-up ([`crate::wire::Event`]) and waits.
    Asleep,
}

impl RouteState {
    /// Requests wait for the next change.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Holding | Self::Paused | Self::Asleep)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Replica {
    pub id: String,
    pub address: SocketAddr,
    /// Number of the release that it runs.
    pub release: u64,
}

/// When a request may be sent again. Never after its first byte went out, unless it is idempotent, has no body and the
/// reused connection closed without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    pub attempts_max: u8,
    pub idempotent: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppProtocol {
    #[default]
    Http1,
    /// HTTP/2 without TLS, from the first byte: gRPC servers above all. WebSockets still begin with HTTP/1.1.
    H2c,
}

/// Takes effect for a host once a certificate for it is served; before that, http answers as if this were not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpsPolicy {
    /// http is answered with 308 to the same address under https.
    pub redirect: bool,
    /// `max-age` of Strict-Transport-Security; 0: none is sent.
    pub hsts_seconds: u32,
    pub hsts_include_subdomains: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts_max: ATTEMPTS_MAX, idempotent: true }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("the id {id:?} is empty, longer than {ID_BYTES_MAX} bytes or holds more than letters, digits, - and _")]
    Id { id: String },
    #[error("the host {host:?} is not a lower-case name without port: {reason}")]
    Host { host: String, reason: String },
    #[error("the {what} are {count}, more than {limit}")]
    TooMany { what: &'static str, count: usize, limit: usize },
    #[error("{what} appears twice: {value:?}")]
    Duplicate { what: &'static str, value: String },
    #[error("a serving route needs at least one replica; use another state while there is none")]
    NoReplica,
    #[error("replica {id:?} has no usable address: {address}")]
    Address { id: String, address: SocketAddr },
    #[error("{what} must be from {least} to {most}, not {value}")]
    Range { what: &'static str, value: u64, least: u64, most: u64 },
    #[error("the path {path:?} must begin with a slash, hold plain characters only and not end with a slash")]
    Path { path: String },
    #[error("a redirect cannot be used: {reason}")]
    Redirect { reason: String },
    #[error("{what} cannot be used: {reason}")]
    Policy { what: &'static str, reason: String },
    #[error("the host {host:?} belongs to service {owner}; remove it there first")]
    HostTaken { host: String, owner: String },
}

impl ServiceRoute {
    /// A route with every limit at its default and no host or replica.
    pub fn new(service: impl Into<String>, generation: u64, state: RouteState) -> Self {
        Self {
            service: service.into(),
            generation,
            hosts: Vec::new(),
            places: Vec::new(),
            redirects: Vec::new(),
            policy: Policy::default(),
            canary: None,
            hold_timeout_ms: None,
            state,
            replicas: Vec::new(),
            body_bytes_max: BODY_BYTES_MAX,
            request_timeout_ms: REQUEST_TIMEOUT_MS,
            response_idle_timeout_ms: RESPONSE_IDLE_TIMEOUT_MS,
            drain_ms: DRAIN_MS,
            retry: RetryPolicy::default(),
            https: HttpsPolicy::default(),
            app_protocol: AppProtocol::default(),
        }
    }

    /// Checks the route by itself; hosts of others are checked by [`HostTable::claim`].
    pub fn validate(&self) -> Result<(), RouteError> {
        validate_id(&self.service)?;
        at_most("hosts", self.hosts.len() + self.places.len(), HOSTS_MAX)?;
        at_most("replicas", self.replicas.len(), REPLICAS_MAX)?;
        let mut keys = HashSet::new();
        for place in self.all_places() {
            place.validate()?;
            let key = place.key();
            if keys.contains(&key) {
                return Err(RouteError::Duplicate { what: "a host", value: key });
            }
            keys.insert(key);
        }
        at_most("redirects", self.redirects.len(), redirect::REDIRECTS_MAX)?;
        let own_hosts: Vec<&str> = self.hosts.iter().chain(self.places.iter().map(|place| &place.host)).map(String::as_str).collect();
        self.redirects.iter().try_for_each(|redirect| redirect.validate(&own_hosts))?;
        self.policy.validate()?;
        if let Some(canary) = &self.canary {
            canary.validate()?;
        }
        let replicas: Vec<&Replica> = self.replicas.iter().chain(self.canary.iter().flat_map(|canary| &canary.replicas)).collect();
        for (index, replica) in replicas.iter().enumerate() {
            validate_id(&replica.id)?;
            if replica.address.port() == 0 || replica.address.ip().is_unspecified() || replica.address.ip().is_multicast() {
                return Err(RouteError::Address { id: replica.id.clone(), address: replica.address });
            }
            if replicas.iter().take(index).any(|earlier| earlier.id == replica.id) {
                return Err(RouteError::Duplicate { what: "a replica", value: replica.id.clone() });
            }
        }
        if self.state == RouteState::Serving && self.replicas.is_empty() {
            return Err(RouteError::NoReplica);
        }
        range("request_timeout_ms", self.request_timeout_ms, 1, 24 * 3_600_000)?;
        range("drain_ms", self.drain_ms, 0, DRAIN_MS_MAX)?;
        range("hold_timeout_ms", self.hold_timeout_ms.unwrap_or(1), 1, HOLD_MS_MAX)?;
        range("retry.attempts_max", u64::from(self.retry.attempts_max), 1, 10)
    }

    /// `hosts` as places, then `places`.
    pub fn all_places(&self) -> impl Iterator<Item = Place> {
        self.hosts.iter().map(|host| Place::host(host.as_str())).chain(self.places.iter().cloned())
    }

    /// What this service claims: see [`Place::key`].
    pub fn place_keys(&self) -> Vec<String> {
        self.hosts.iter().cloned().chain(self.places.iter().map(Place::key)).collect()
    }

    /// `true` when the version before places and policies would read it without losing anything.
    pub fn is_plain(&self) -> bool {
        let is_old_state = !matches!(self.state, RouteState::Paused | RouteState::Asleep);
        let is_old_host = self.hosts.iter().all(|host| !host.starts_with("*."));
        let has_no_more = self.places.is_empty() && self.redirects.is_empty() && self.canary.is_none() && self.hold_timeout_ms.is_none();
        is_old_state && is_old_host && has_no_more && self.policy == Policy::default()
    }
}

/// Ids name files, therefore nothing but letters, digits, `-` and `_`.
pub fn validate_id(id: &str) -> Result<(), RouteError> {
    let is_plain =
        !id.is_empty() && id.len() <= ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if is_plain { Ok(()) } else { Err(RouteError::Id { id: id.chars().take(ID_BYTES_MAX).collect() }) }
}

/// Which service owns which place ([`Place::key`]). Pure bookkeeping; a place has exactly one owner.
#[derive(Debug, Default, Clone)]
pub struct HostTable {
    owners: HashMap<String, String>,
}

impl HostTable {
    pub fn owner(&self, host: &str) -> Option<&str> {
        self.owners.get(host).map(String::as_str)
    }

    pub fn len(&self) -> usize {
        self.owners.len()
    }

    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Adds `hosts` to what `service` owns, all or nothing. Answers the hosts that are new for it.
    pub fn claim(&mut self, service: &str, hosts: &[String]) -> Result<Vec<String>, RouteError> {
        for name in hosts {
            if let Some(owner) = self.owner(name).filter(|owner| *owner != service) {
                return Err(RouteError::HostTaken { host: name.clone(), owner: owner.to_owned() });
            }
        }
        let fresh: Vec<String> = hosts.iter().filter(|name| !self.owners.contains_key(*name)).cloned().collect();
        for name in &fresh {
            self.owners.insert(name.clone(), service.to_owned());
        }
        Ok(fresh)
    }

    /// Gives `hosts` back, as far as `service` owns them.
    pub fn release<'a>(&mut self, service: &str, hosts: impl IntoIterator<Item = &'a String>) {
        for name in hosts {
            if self.owner(name) == Some(service) {
                self.owners.remove(name);
            }
        }
    }
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), RouteError> {
    if count > limit { Err(RouteError::TooMany { what, count, limit }) } else { Ok(()) }
}

fn range(what: &'static str, value: u64, least: u64, most: u64) -> Result<(), RouteError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(RouteError::Range { what, value, least, most }) }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn body_bytes_max() -> u64 {
    BODY_BYTES_MAX
}
fn request_timeout_ms() -> u64 {
    REQUEST_TIMEOUT_MS
}
fn response_idle_timeout_ms() -> u64 {
    RESPONSE_IDLE_TIMEOUT_MS
}
fn drain_ms() -> u64 {
    DRAIN_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> ServiceRoute {
        let mut route = ServiceRoute::new("svc", 1, RouteState::Stopped);
        route.hosts = vec!["a.test".to_owned()];
        route
    }

    #[test]
    fn what_an_older_version_cannot_read_is_not_plain_and_nothing_unknown_is_read() {
        assert!(route().is_plain());
        let text = serde_json::to_string(&route()).unwrap();
        assert!(!text.contains("places") && !text.contains("policy"), "an older reader sees what it knows: {text}");
        let mut other = route();
        other.policy.compress = true;
        assert!(!other.is_plain());
        let unknown = text.replacen('{', "{\"future\":1,", 1);
        assert!(serde_json::from_str::<ServiceRoute>(&unknown).unwrap_err().to_string().contains("future"));
        let policy = text.replacen('{', "{\"policy\":{\"future\":1},", 1);
        assert!(serde_json::from_str::<ServiceRoute>(&policy).is_err());
    }

    #[test]
    fn a_route_that_cannot_be_served_is_refused() {
        type Edit = fn(&mut ServiceRoute);
        let edits: [(&str, Edit); 22] = [
            ("place twice", |r| r.places.push(Place::host("a.test"))),
            ("path without slash", |r| r.places.push(Place::prefix("a.test", "api"))),
            ("path with slash at its end", |r| r.places.push(Place::prefix("a.test", "/api/"))),
            ("path with dots", |r| r.places.push(Place::prefix("a.test", "/a/../b"))),
            ("path with a percent", |r| r.places.push(Place::prefix("a.test", "/%61"))),
            ("wildcard inside", |r| r.hosts.push("a.*.test".to_owned())),
            ("double wildcard", |r| r.hosts.push("*.*.test".to_owned())),
            ("port 0", |r| r.places.push(Place { port: Some(0), ..Place::prefix("a.test", "/p") })),
            ("redirect of a foreign host", |r| {
                r.redirects.push(redirect("b.test", RedirectRule::Prefix { from: "/a".into(), to: "/b".into() }))
            }),
            ("redirect to nowhere", |r| {
                r.redirects.push(redirect("a.test", RedirectRule::Prefix { from: "/a".into(), to: "//evil".into() }))
            }),
            ("redirect to a script", |r| {
                r.redirects.push(redirect("a.test", RedirectRule::Prefix { from: "/a".into(), to: "javascript:x".into() }))
            }),
            ("broken pattern", |r| {
                r.redirects.push(redirect("a.test", RedirectRule::Regex { pattern: "(".into(), replacement: "x".into() }))
            }),
            ("huge pattern", |r| {
                r.redirects.push(redirect("a.test", RedirectRule::Regex { pattern: "(a{1000}){1000}".into(), replacement: "x".into() }));
            }),
            ("plain password", |r| r.policy.basic_auth.push(policy::BasicUser { name: "u".into(), password_hash: "secret".into() })),
            ("header with a line", |r| r.policy.request_headers.push(edit("x-a", Some("a\r\nb: c")))),
            ("header that frames", |r| r.policy.response_headers.push(edit("Transfer-Encoding", Some("chunked")))),
            ("header that is ours", |r| r.policy.request_headers.push(edit("X-Forwarded-For", Some("1.2.3.4")))),
            ("everybody with credentials", |r| {
                r.policy.cors = Some(policy::Cors { origins: vec!["*".into()], credentials: true, ..Default::default() });
            }),
            ("no rate", |r| {
                r.policy.rate_limits.push(policy::RateLimit { per: policy::RatePer::Client, requests: 0, period_seconds: 1, burst: 0 });
            }),
            ("error page of 200", |r| drop(r.policy.error_pages.insert(200, String::new()))),
            ("canary without replicas", |r| {
                r.canary = Some(Canary { replicas: vec![], weight_permille: 1, visitor_cookie: None, visitors: vec![] });
            }),
            ("endless hold", |r| r.hold_timeout_ms = Some(HOLD_MS_MAX + 1)),
        ];
        assert_eq!(route().validate(), Ok(()));
        for (what, edit) in edits {
            let mut route = route();
            edit(&mut route);
            assert!(route.validate().is_err(), "{what}");
        }
    }

    fn redirect(host: &str, rule: RedirectRule) -> Redirect {
        Redirect { hosts: vec![host.to_owned()], rule, permanent: false }
    }

    fn edit(name: &str, value: Option<&str>) -> policy::HeaderEdit {
        policy::HeaderEdit { name: name.to_owned(), value: value.map(str::to_owned) }
    }
}

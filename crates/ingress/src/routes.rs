//! What the ingress serves, as pure data: one [`ServiceRoute`] per service, and the rule that a host has one owner.

use std::{collections::HashMap, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::host;

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
/// Attempts of one request, the first included.
pub const ATTEMPTS_MAX: u8 = 3;

/// Everything about one service. A change is always the whole of it, under a generation that never goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRoute {
    /// Opaque id: letters, digits, `-` and `_`.
    pub service: String,
    /// Fencing: a generation below the stored one is refused; an equal one replaces (one worker, several steps).
    pub generation: u64,
    /// Exact names, lower case, IDNA applied, no port. Each belongs to one service only.
    pub hosts: Vec<String>,
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
            state,
            replicas: Vec::new(),
            body_bytes_max: BODY_BYTES_MAX,
            request_timeout_ms: REQUEST_TIMEOUT_MS,
            response_idle_timeout_ms: RESPONSE_IDLE_TIMEOUT_MS,
            drain_ms: DRAIN_MS,
            retry: RetryPolicy::default(),
            https: HttpsPolicy::default(),
        }
    }

    /// Checks the route by itself; hosts of others are checked by [`HostTable::claim`].
    pub fn validate(&self) -> Result<(), RouteError> {
        validate_id(&self.service)?;
        at_most("hosts", self.hosts.len(), HOSTS_MAX)?;
        at_most("replicas", self.replicas.len(), REPLICAS_MAX)?;
        for (index, name) in self.hosts.iter().enumerate() {
            if !host::is_normal(name) {
                let reason = host::normalise(name).map_or_else(|error| error.to_string(), |normal| format!("write {normal:?}"));
                return Err(RouteError::Host { host: name.clone(), reason });
            }
            if self.hosts.iter().take(index).any(|earlier| earlier == name) {
                return Err(RouteError::Duplicate { what: "a host", value: name.clone() });
            }
        }
        for (index, replica) in self.replicas.iter().enumerate() {
            validate_id(&replica.id)?;
            if replica.address.port() == 0 || replica.address.ip().is_unspecified() || replica.address.ip().is_multicast() {
                return Err(RouteError::Address { id: replica.id.clone(), address: replica.address });
            }
            if self.replicas.iter().take(index).any(|earlier| earlier.id == replica.id) {
                return Err(RouteError::Duplicate { what: "a replica", value: replica.id.clone() });
            }
        }
        if self.state == RouteState::Serving && self.replicas.is_empty() {
            return Err(RouteError::NoReplica);
        }
        range("request_timeout_ms", self.request_timeout_ms, 1, 24 * 3_600_000)?;
        range("drain_ms", self.drain_ms, 0, DRAIN_MS_MAX)?;
        range("retry.attempts_max", u64::from(self.retry.attempts_max), 1, 10)
    }
}

/// Ids name files, therefore nothing but letters, digits, `-` and `_`.
pub fn validate_id(id: &str) -> Result<(), RouteError> {
    let is_plain =
        !id.is_empty() && id.len() <= ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if is_plain { Ok(()) } else { Err(RouteError::Id { id: id.chars().take(ID_BYTES_MAX).collect() }) }
}

/// Which service owns which host. Pure bookkeeping; a host has exactly one owner.
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

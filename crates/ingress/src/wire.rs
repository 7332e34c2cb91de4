//! Bodies of the admin API, shared by its server and its client.

use std::collections::BTreeMap;

use domain::{guard::Sample, latency::Latencies};
use serde::{Deserialize, Serialize};

/// The change is on disk and every new request sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub service: String,
    pub generation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainRequest {
    pub replicas: Vec<String>,
    /// Missing: the route's `drain_ms`.
    #[serde(default)]
    pub grace_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Requests and WebSockets that did not end by themselves within the grace and were ended.
    pub cut: u64,
    pub waited_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub status: String,
    pub pid: u32,
    pub started_at_ms: i64,
    pub services: usize,
    pub hosts: usize,
    pub connections: usize,
    /// What was wrong with the persisted routes at the start; empty when nothing was.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    pub connections: u64,
    pub connections_refused: u64,
    pub unknown_host: u64,
    pub malformed: u64,
    pub services: BTreeMap<String, ServiceMetrics>,
}

/// Counters since the start of the process; `in_flight` and `held` are of now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceMetrics {
    pub requests: u64,
    pub status_1xx: u64,
    pub status_2xx: u64,
    pub status_3xx: u64,
    pub status_4xx: u64,
    pub status_5xx: u64,
    /// 5xx that the ingress made itself, not the app.
    pub ingress_5xx: u64,
    pub in_flight: u64,
    pub held: u64,
    pub cut: u64,
    pub retries: u64,
    /// Length of the last hand-over: from `holding` to `serving`.
    pub hold_gap_ms: Option<u64>,
    /// When the last request began; 0: none since the start of the process. With `in_flight` (which counts WebSockets) it
    /// tells whether a service may sleep.
    #[serde(default)]
    pub last_request_ms: i64,
    /// Open WebSockets.
    #[serde(default)]
    pub tunnels: u64,
    #[serde(default)]
    pub bytes_in: u64,
    #[serde(default)]
    pub bytes_out: u64,
    /// Lines of the access log that did not fit its bounds.
    #[serde(default)]
    pub log_lines_dropped: u64,
    /// The last few releases; empty in `metrics-lite`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<ReleaseMetrics>,
}

/// Golden signals of one release since it was first routed to in this process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseMetrics {
    pub release: u64,
    pub requests: u64,
    pub status_1xx: u64,
    pub status_2xx: u64,
    pub status_3xx: u64,
    pub status_4xx: u64,
    pub status_5xx: u64,
    /// Asked, and no answer came: refused, broken off or too late.
    pub unanswered: u64,
    /// Requests and WebSockets ended by a drain.
    pub cut: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// From a request's head to its answer's head.
    pub latencies: Latencies,
}

impl ReleaseMetrics {
    /// For [`domain::guard::judge`]: what came since `earlier`, a reading of the same release.
    pub fn sample_since(&self, earlier: &Self) -> Sample {
        let errors = |metrics: &Self| metrics.status_5xx + metrics.unanswered;
        Sample {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: errors(self).saturating_sub(errors(earlier)),
            latencies: self.latencies.since(&earlier.latencies),
        }
    }
}

/// One request, as the access log and the table of samples show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestLine {
    pub at_ms: i64,
    pub request_id: String,
    pub method: String,
    pub host: String,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    pub status: u16,
    /// Missing: no replica was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<u64>,
    /// Truncated to /24 or /48 unless the owner asks otherwise.
    pub client: String,
    /// To the answer's head.
    pub latency_us: u64,
    /// To its last byte.
    pub duration_us: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referer: Option<String>,
    /// Code of the page, where the ingress answered itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Something that the ingress asks for. Events are kept in memory, a bounded number; a client that lost some finds a service
/// that has to be woken by its `held` above 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Grows by one with each event, from 1 at the start of the process.
    pub sequence: u64,
    pub at_ms: i64,
    pub service: String,
    pub kind: EventKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A request waits for a service that is `asleep`; repeated every few seconds while it does.
    Wake,
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    pub events: Vec<Event>,
    /// Ask with this next time.
    pub next: u64,
    /// Of this process; another one begins at 1 again.
    pub started_at_ms: i64,
    /// Events between the asked and the first one were dropped.
    pub lost: bool,
}

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: RefusalCode,
    pub message: String,
    /// With `stale_generation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_generation: Option<u64>,
    /// With `host_conflict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// With `host_conflict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    Invalid,
    NotFound,
    StaleGeneration,
    HostConflict,
    /// A drain names a replica that still gets requests; take it out of the route first.
    ReplicaRouted,
    /// The route could not be written; the previous one is still active.
    Storage,
    #[serde(other)]
    Other,
}

//! What the process is told at its start. Everything that may change later goes through the admin socket.

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Bytes of request head (request line and headers).
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Header fields of one request.
pub const HEADERS_MAX: usize = 100;
/// From the first byte of a connection, or of a later request head, to its end.
pub const HEAD_READ_TIMEOUT_MS: u64 = 15_000;
/// A keep-alive connection without a request is closed after this.
pub const IDLE_TIMEOUT_MS: u64 = 75_000;
/// A request body that sends nothing for this long is given up.
pub const BODY_READ_TIMEOUT_MS: u64 = 60_000;
/// A client that takes nothing of what is written to it for this long is given up.
pub const WRITE_STALL_TIMEOUT_MS: u64 = 60_000;
/// Opening a connection to a replica.
pub const CONNECT_TIMEOUT_MS: u64 = 3_000;
/// Client connections, all together.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Client connections of one address (an IPv6 /64 counts as one); trusted proxies are exempt.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 512;
/// Concurrent streams of one HTTP/2 connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 128;
/// Requests in flight of one service, held ones included.
pub const IN_FLIGHT_PER_SERVICE_MAX: usize = 12_000;
/// How long a request waits while its service is `holding`.
pub const HOLD_TIMEOUT_MS: u64 = 30_000;
/// Requests of one service that may wait while it is `holding`.
pub const HELD_PER_SERVICE_MAX: usize = 1_000;
/// A TLS handshake, all together.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 10_000;
/// Handshakes that compute at the same time; others wait within their time-out.
pub const HANDSHAKES_AT_ONCE_MAX: usize = 1_000;
/// After the stop signal, requests in flight get this long.
pub const SHUTDOWN_GRACE_MS: u64 = 30_000;
/// An idle connection to a replica is not used again after this. Node closes after 5 s, gunicorn after 2 s: a request that
/// may not be sent twice only takes a connection younger than `UPSTREAM_IDLE_UNSAFE_MS`.
pub const UPSTREAM_IDLE_MS: u64 = 4_000;
/// See [`UPSTREAM_IDLE_MS`].
pub const UPSTREAM_IDLE_UNSAFE_MS: u64 = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngressConfig {
    /// Cleartext HTTP/1.1 and HTTP/2 on each of these; port 0 is allowed (tests).
    pub listen: Vec<SocketAddr>,
    /// TLS with HTTP/1.1 and HTTP/2 on each of these.
    #[serde(default)]
    pub listen_tls: Vec<SocketAddr>,
    /// The port of https seen from outside; default: that of the first `listen_tls`.
    #[serde(default)]
    pub https_port: Option<u16>,
    /// Path of the admin API's Unix socket; made with mode 0600.
    pub admin_socket: PathBuf,
    /// Folder of the persisted routes and certificates; made with mode 0700.
    pub state_dir: PathBuf,
    /// Peers whose X-Forwarded-* and X-Request-Id are believed.
    #[serde(default)]
    pub trusted_proxies: Vec<IpNet>,
    /// The operator's numbers in the text format of Prometheus, at `/metrics`; off by default.
    #[serde(default)]
    pub metrics_listen: Option<SocketAddr>,
    /// Connections of trusted proxies begin with a PROXY header, version 2.
    #[serde(default)]
    pub proxy_protocol: bool,
    #[serde(default)]
    pub limits: Limits,
}

impl IngressConfig {
    pub fn new(listen: Vec<SocketAddr>, admin_socket: PathBuf, state_dir: PathBuf) -> Self {
        Self {
            listen,
            listen_tls: Vec::new(),
            https_port: None,
            admin_socket,
            state_dir,
            trusted_proxies: Vec::new(),
            metrics_listen: None,
            proxy_protocol: false,
            limits: Limits::default(),
        }
    }
}

/// Every limit of the process; the constants of this module are the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    pub head_bytes_max: usize,
    pub headers_max: usize,
    pub head_read_timeout_ms: u64,
    pub idle_timeout_ms: u64,
    pub body_read_timeout_ms: u64,
    pub write_stall_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    pub streams_per_connection_max: u32,
    pub in_flight_per_service_max: usize,
    pub hold_timeout_ms: u64,
    pub held_per_service_max: usize,
    pub handshake_timeout_ms: u64,
    pub handshakes_at_once_max: usize,
    pub shutdown_grace_ms: u64,
    pub upstream_idle_ms: u64,
    pub upstream_idle_unsafe_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: HEAD_BYTES_MAX,
            headers_max: HEADERS_MAX,
            head_read_timeout_ms: HEAD_READ_TIMEOUT_MS,
            idle_timeout_ms: IDLE_TIMEOUT_MS,
            body_read_timeout_ms: BODY_READ_TIMEOUT_MS,
            write_stall_timeout_ms: WRITE_STALL_TIMEOUT_MS,
            connect_timeout_ms: CONNECT_TIMEOUT_MS,
            connections_max: CONNECTIONS_MAX,
            connections_per_address_max: CONNECTIONS_PER_ADDRESS_MAX,
            streams_per_connection_max: STREAMS_PER_CONNECTION_MAX,
            in_flight_per_service_max: IN_FLIGHT_PER_SERVICE_MAX,
            hold_timeout_ms: HOLD_TIMEOUT_MS,
            held_per_service_max: HELD_PER_SERVICE_MAX,
            handshake_timeout_ms: HANDSHAKE_TIMEOUT_MS,
            handshakes_at_once_max: HANDSHAKES_AT_ONCE_MAX,
            shutdown_grace_ms: SHUTDOWN_GRACE_MS,
            upstream_idle_ms: UPSTREAM_IDLE_MS,
            upstream_idle_unsafe_ms: UPSTREAM_IDLE_UNSAFE_MS,
        }
    }
}

//! Client of the admin API, used by the deployer. One call, one connection: the socket is local and calls are rare.

use std::{path::PathBuf, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    routes::{DRAIN_MS_MAX, ServiceRoute},
    wire::{Acknowledged, DrainRequest, Drained, Events, Health, Metrics, Refusal, RefusalCode, RequestLine, ServiceMetrics},
};

/// A call that waits for the disk only.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// On top of a drain's grace.
pub const DRAIN_EXTRA: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the ingress does not answer at {path}: is `seaway ingress` running?")]
    Unreachable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the ingress did not answer within {waited_ms} ms")]
    Timeout { waited_ms: u128 },
    #[error("service {service} is already at generation {stored}: this worker was overtaken")]
    StaleGeneration { service: String, stored: u64 },
    #[error("the host {host} belongs to service {owner}")]
    HostConflict { host: String, owner: String },
    #[error("the ingress refused the call ({status}): {message}")]
    Refused { status: u16, code: RefusalCode, message: String },
    #[error("the exchange with the ingress broke off: {0}")]
    Exchange(String),
}

impl ClientError {
    /// `true` when the same call may succeed later without any change.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Exchange(_) => true,
            Self::Refused { code, .. } => *code == RefusalCode::Storage,
            Self::StaleGeneration { .. } | Self::HostConflict { .. } => false,
        }
    }
}

#[derive(Debug, Clone)]
pub struct IngressClient {
    socket: PathBuf,
}

impl IngressClient {
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Replaces the whole route. Returns when it is on disk and every new request sees it; repeating the call is harmless.
    pub async fn put(&self, route: &ServiceRoute) -> Result<Acknowledged, ClientError> {
        let path = format!("/services/{}", route.service);
        self.call(Method::PUT, &path, &route.service, Some(route), CALL_TIMEOUT).await
    }

    /// Removes the service and frees its hosts. `generation` fences like a put; an unknown service is no error.
    pub async fn delete(&self, service: &str, generation: u64) -> Result<Acknowledged, ClientError> {
        let path = format!("/services/{service}?generation={generation}");
        self.call(Method::DELETE, &path, service, None::<&()>, CALL_TIMEOUT).await
    }

    /// `None`: the ingress does not know the service.
    pub async fn find(&self, service: &str) -> Result<Option<ServiceRoute>, ClientError> {
        match self.call(Method::GET, &format!("/services/{service}"), service, None::<&()>, CALL_TIMEOUT).await {
            Ok(route) => Ok(Some(route)),
            Err(ClientError::Refused { code: RefusalCode::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub async fn list(&self) -> Result<Vec<ServiceRoute>, ClientError> {
        self.call(Method::GET, "/services", "", None::<&()>, CALL_TIMEOUT).await
    }

    /// Waits until nothing is in flight to `replicas`, which must be out of the route already, or `grace` is over; what is
    /// left then is ended and counted. Unknown replicas count as drained. `None`: the route's own grace.
    pub async fn drain(&self, service: &str, replicas: &[String], grace: Option<Duration>) -> Result<Drained, ClientError> {
        let grace_ms = grace.map(|grace| u64::try_from(grace.as_millis()).unwrap_or(DRAIN_MS_MAX).min(DRAIN_MS_MAX));
        let body = DrainRequest { replicas: replicas.to_vec(), grace_ms };
        let timeout = Duration::from_millis(grace_ms.unwrap_or(DRAIN_MS_MAX)) + DRAIN_EXTRA;
        self.call(Method::POST, &format!("/services/{service}/drain"), service, Some(&body), timeout).await
    }

    pub async fn metrics(&self) -> Result<Metrics, ClientError> {
        self.call(Method::GET, "/metrics-lite", "", None::<&()>, CALL_TIMEOUT).await
    }

    /// One service with its releases; `None`: it is not known here.
    pub async fn seen(&self, service: &str) -> Result<Option<ServiceMetrics>, ClientError> {
        match self.call(Method::GET, &format!("/services/{service}/seen"), service, None::<&()>, CALL_TIMEOUT).await {
            Ok(seen) => Ok(Some(seen)),
            Err(ClientError::Refused { code: RefusalCode::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A few of the last requests, newest first.
    pub async fn samples(&self, service: &str) -> Result<Vec<RequestLine>, ClientError> {
        self.call(Method::GET, &format!("/services/{service}/samples"), service, None::<&()>, CALL_TIMEOUT).await
    }

    /// The end of the access log, oldest first.
    pub async fn access_log(&self, service: &str, lines: usize) -> Result<Vec<RequestLine>, ClientError> {
        self.call(Method::GET, &format!("/services/{service}/access-log?lines={lines}"), service, None::<&()>, CALL_TIMEOUT).await
    }

    /// Events from `from` on (0: those that come from now on; later [`Events::next`]); waits at most `wait` for the first one.
    pub async fn events(&self, from: u64, wait: Duration) -> Result<Events, ClientError> {
        let path = format!("/events?from={from}&wait_ms={}", wait.as_millis());
        self.call(Method::GET, &path, "", None::<&()>, wait + CALL_TIMEOUT).await
    }

    pub async fn health(&self) -> Result<Health, ClientError> {
        self.call(Method::GET, "/health", "", None::<&()>, CALL_TIMEOUT).await
    }

    pub(crate) async fn call<B: Serialize, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        service: &str,
        body: Option<&B>,
        timeout: Duration,
    ) -> Result<A, ClientError> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| ClientError::Exchange(error.to_string()))?,
            None => Vec::new(),
        };
        let exchange = self.exchange(method, path, Bytes::from(body));
        let (status, answer) = match tokio::time::timeout(timeout, exchange).await {
            Ok(result) => result?,
            Err(_) => {
                return Err(ClientError::Timeout { waited_ms: timeout.as_millis() });
            }
        };
        if status.is_success() {
            return serde_json::from_slice(&answer).map_err(|error| ClientError::Exchange(error.to_string()));
        }
        Err(refused(status, service, &answer))
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), ClientError> {
        let broken = |error: &dyn std::fmt::Display| ClientError::Exchange(error.to_string());
        let stream = tokio::net::UnixStream::connect(&self.socket)
            .await
            .map_err(|source| ClientError::Unreachable { path: self.socket.clone(), source })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "ingress")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| broken(&error))?;
        // The connection is driven here, not in a task of its own: it ends with the call, also when the call is dropped.
        let answer = async {
            let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| broken(&error))?;
            Ok((status, body.to_bytes()))
        };
        tokio::pin!(answer, connection);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            ended = &mut connection => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(broken(&error)),
            },
        }
    }
}

fn refused(status: StatusCode, service: &str, answer: &[u8]) -> ClientError {
    let Ok(refusal) = serde_json::from_slice::<Refusal>(answer) else {
        let message = String::from_utf8_lossy(answer).chars().take(500).collect();
        return ClientError::Refused { status: status.as_u16(), code: RefusalCode::Other, message };
    };
    match (refusal.code, refusal.stored_generation, refusal.host, refusal.owner) {
        (RefusalCode::StaleGeneration, Some(stored), ..) => ClientError::StaleGeneration { service: service.to_owned(), stored },
        (RefusalCode::HostConflict, _, Some(host), Some(owner)) => ClientError::HostConflict { host, owner },
        (code, ..) => ClientError::Refused { status: status.as_u16(), code, message: refusal.message },
    }
}

//! The admin API: JSON over a Unix socket that only the ingress's own user can open.

use std::{
    convert::Infallible,
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin_certificates::CertificateAdmin,
    live::ServiceLive,
    proxy::Proxy,
    registry::{ChangeError, Registry},
    routes::{RouteError, ServiceRoute},
    seen::log::TAIL_LINES_MAX,
    traffic::OpenConnections,
    wire::{DrainRequest, Events, Health, Metrics, Refusal, RefusalCode},
};

const BODY_BYTES_MAX: usize = 1024 * 1024;

pub struct Admin {
    pub registry: Arc<Registry>,
    pub certificates: CertificateAdmin,
    pub proxy: Arc<Proxy>,
    pub open: Arc<OpenConnections>,
    /// A successor is coming: what is changed now, it would not see.
    pub is_paused: AtomicBool,
    pub started_at_ms: i64,
    pub warnings: Vec<String>,
}

/// Opens the socket under another name and renames it: at no moment is it there with wider permissions, and a stale one
/// of a killed process is replaced.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut opening = path.as_os_str().to_owned();
    opening.push(".new");
    match fs::remove_file(&opening) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&opening)?;
    fs::set_permissions(&opening, fs::Permissions::from_mode(0o600))?;
    fs::rename(&opening, path)?;
    Ok(listener)
}

impl Admin {
    pub async fn accept(self: Arc<Self>, listener: UnixListener, stop: CancellationToken, tasks: TaskTracker) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (admin, stop) = (Arc::clone(&self), stop.clone());
                    tasks.spawn(async move { admin.serve(stream, stop).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "no admin connection can be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: UnixStream, stop: CancellationToken) {
        let service = service_fn(|request| {
            let admin = Arc::clone(&self);
            async move { Ok::<_, Infallible>(admin.handle(request).await) }
        });
        let serving = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        // A caller that broke off needs no answer.
        let _ended = tokio::select! {
            ended = &mut serving => ended,
            () = stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        if self.is_paused.load(Ordering::Acquire) && matches!(parts.method, Method::PUT | Method::DELETE) {
            let refusal = refusal(RefusalCode::Storage, "a successor of this process is starting; try again");
            return answer(status_of(refusal.code), &refusal);
        }
        let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        let result = match (&parts.method, path.as_slice()) {
            (&Method::GET, ["health"]) => Ok(json(&self.health())),
            (&Method::GET, ["metrics-lite"]) => Ok(json(&self.metrics_lite())),
            (&Method::GET, ["events"]) => Ok(json(&self.events(parts.uri.query()).await)),
            (&Method::GET, ["services", id, "seen"]) => self.service(id).map(|service| json(&service.metrics())),
            (&Method::GET, ["services", id, "samples"]) => self.service(id).map(|service| json(&service.seen.samples.read())),
            (&Method::GET, ["services", id, "access-log"]) => self.access_log(id, parts.uri.query()).await,
            (&Method::GET, ["services"]) => Ok(json(&self.registry.list().iter().map(AsRef::as_ref).collect::<Vec<&ServiceRoute>>())),
            (&Method::GET, ["services", id]) => self.find(id),
            (&Method::PUT, ["services", id]) => self.put(id, body).await,
            (&Method::DELETE, ["services", id]) => self.delete(id, parts.uri.query()).await,
            (&Method::POST, ["services", id, "drain"]) => self.drain(id, body).await,
            (_, ["certificates" | "acme-accounts" | "dns-providers", ..]) => self.certificates.handle(&parts, &path, body).await,
            _ => Err(refusal(RefusalCode::NotFound, "no such operation")),
        };
        result.unwrap_or_else(|refusal| answer(status_of(refusal.code), &refusal))
    }

    fn find(&self, id: &str) -> Result<Response<Full<Bytes>>, Refusal> {
        let route = self.registry.find(id).and_then(|service| service.active.load().route.clone());
        route.map(|route| json(&*route)).ok_or_else(|| ChangeError::Unknown(id.to_owned()).into())
    }

    async fn put(&self, id: &str, body: Incoming) -> Result<Response<Full<Bytes>>, Refusal> {
        let route: ServiceRoute = read(body).await?;
        if route.service != id {
            return Err(refusal(RefusalCode::Invalid, "the path and the body name different services"));
        }
        Ok(json(&self.registry.put(route).await?))
    }

    async fn delete(&self, id: &str, query: Option<&str>) -> Result<Response<Full<Bytes>>, Refusal> {
        let generation = query.and_then(|query| query.strip_prefix("generation=")).and_then(|text| text.parse().ok());
        let generation = generation.ok_or_else(|| refusal(RefusalCode::Invalid, "say ?generation=N: it fences the removal"))?;
        Ok(json(&self.registry.delete(id, generation).await?))
    }

    async fn drain(&self, id: &str, body: Incoming) -> Result<Response<Full<Bytes>>, Refusal> {
        let request: DrainRequest = read(body).await?;
        Ok(json(&self.registry.drain(id, &request.replicas, request.grace_ms).await?))
    }

    fn health(&self) -> Health {
        Health {
            status: "ok".to_owned(),
            pid: std::process::id(),
            started_at_ms: self.started_at_ms,
            services: self.registry.list().len(),
            hosts: self.registry.host_count(),
            connections: self.open.total(),
            warnings: self.warnings.clone(),
        }
    }

    fn service(&self, id: &str) -> Result<Arc<ServiceLive>, Refusal> {
        self.registry.find(id).ok_or_else(|| ChangeError::Unknown(id.to_owned()).into())
    }

    /// `?from=SEQUENCE&wait_ms=MS`
    async fn events(&self, query: Option<&str>) -> Events {
        let (from, wait_ms) = (number(query, "from").unwrap_or(0), number(query, "wait_ms").unwrap_or(0));
        self.proxy.events.read(from, Duration::from_millis(wait_ms)).await
    }

    /// `?lines=N`
    async fn access_log(&self, id: &str, query: Option<&str>) -> Result<Response<Full<Bytes>>, Refusal> {
        let service = self.service(id)?;
        let logs = self.proxy.logs.clone();
        let lines = number(query, "lines").and_then(|lines| usize::try_from(lines).ok()).unwrap_or(TAIL_LINES_MAX);
        let read = tokio::task::spawn_blocking(move || logs.tail(&service.id, lines)).await;
        let read = read.map_err(std::io::Error::other).flatten();
        read.map(|lines| json(&lines)).map_err(|error| refusal(RefusalCode::Storage, &format!("the access log cannot be read: {error}")))
    }

    fn metrics_lite(&self) -> Metrics {
        let mut metrics = self.metrics();
        metrics.services.values_mut().for_each(|service| service.releases.clear());
        metrics
    }

    pub fn metrics(&self) -> Metrics {
        let traffic = &self.proxy.traffic;
        Metrics {
            connections: traffic.connections.load(Ordering::Relaxed),
            connections_refused: traffic.connections_refused.load(Ordering::Relaxed),
            unknown_host: traffic.unknown_host.load(Ordering::Relaxed),
            malformed: traffic.malformed.load(Ordering::Relaxed),
            services: self.registry.metrics().collect(),
        }
    }
}

fn number(query: Option<&str>, name: &str) -> Option<u64> {
    query?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Self {
        let message = error.to_string();
        let code = match &error {
            ChangeError::Invalid(RouteError::HostTaken { .. }) => RefusalCode::HostConflict,
            ChangeError::Invalid(_) => RefusalCode::Invalid,
            ChangeError::Stale { .. } => RefusalCode::StaleGeneration,
            ChangeError::Unknown(_) => RefusalCode::NotFound,
            ChangeError::Routed(_) => RefusalCode::ReplicaRouted,
            ChangeError::Storage(_) => RefusalCode::Storage,
        };
        let mut refusal = refusal(code, &message);
        match error {
            ChangeError::Stale { stored, .. } => refusal.stored_generation = Some(stored),
            ChangeError::Invalid(RouteError::HostTaken { host, owner }) => {
                refusal.host = Some(host);
                refusal.owner = Some(owner);
            }
            _ => {}
        }
        refusal
    }
}

pub fn refusal(code: RefusalCode, message: &str) -> Refusal {
    Refusal { code, message: message.to_owned(), stored_generation: None, host: None, owner: None }
}

fn status_of(code: RefusalCode) -> StatusCode {
    match code {
        RefusalCode::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        RefusalCode::NotFound => StatusCode::NOT_FOUND,
        RefusalCode::StaleGeneration | RefusalCode::HostConflict | RefusalCode::ReplicaRouted => StatusCode::CONFLICT,
        RefusalCode::Storage => StatusCode::INSUFFICIENT_STORAGE,
        RefusalCode::Other => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

pub async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Refusal> {
    let invalid = |error: &dyn std::fmt::Display| refusal(RefusalCode::Invalid, &error.to_string());
    let bytes = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| invalid(&error))?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| invalid(&error))
}

pub fn json<T: Serialize>(value: &T) -> Response<Full<Bytes>> {
    answer(StatusCode::OK, value)
}

fn answer<T: Serialize>(status: StatusCode, value: &T) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

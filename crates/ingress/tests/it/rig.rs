//! An ingress on port 0 with its own folders, and plain clients for it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ingress::{Ingress, IngressClient, IngressConfig, Limits, Replica, RouteState, ServiceRoute};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub type Body = BoxBody<Bytes, std::io::Error>;

pub struct Rig {
    pub address: SocketAddr,
    pub client: IngressClient,
    pub config: IngressConfig,
    pub ingress: Option<Ingress>,
    pub folder: TempDir,
}

impl Rig {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(edit: impl FnOnce(&mut IngressConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config =
            IngressConfig::new(vec!["127.0.0.1:0".parse().unwrap()], folder.path().join("run/admin.sock"), folder.path().join("state"));
        config.limits = Limits { shutdown_grace_ms: 2_000, ..Limits::default() };
        edit(&mut config);
        let ingress = begin(&config).await;
        Self { address: ingress.addresses()[0], client: IngressClient::new(&config.admin_socket), config, ingress: Some(ingress), folder }
    }

    /// Stops this one and starts another on the same state.
    pub async fn restart(&mut self) {
        self.ingress.take().unwrap().stop().await;
        let ingress = begin(&self.config).await;
        self.address = ingress.addresses()[0];
        self.ingress = Some(ingress);
    }

    /// One service `svc` with the host `a.test`.
    pub async fn serve(&self, generation: u64, replicas: &[SocketAddr]) {
        self.client.put(&route("svc", generation, &["a.test"], replicas)).await.unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        get(self.address, "a.test", path).await
    }

    pub async fn metrics(&self) -> ingress::wire::ServiceMetrics {
        self.client.metrics().await.unwrap().services.remove("svc").unwrap()
    }
}

pub async fn begin(config: &IngressConfig) -> Ingress {
    Ingress::start(config.clone(), Arc::new(domain::SystemClock), &domain::SystemEntropy).await.unwrap()
}

/// A serving route; replica ids are `g<generation>-<index>`.
pub fn route(service: &str, generation: u64, hosts: &[&str], replicas: &[SocketAddr]) -> ServiceRoute {
    let state = if replicas.is_empty() { RouteState::Deploying } else { RouteState::Serving };
    let mut route = ServiceRoute::new(service, generation, state);
    route.hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let replica =
        |(index, address): (usize, &SocketAddr)| Replica { id: format!("g{generation}-{index}"), address: *address, release: generation };
    route.replicas = replicas.iter().enumerate().map(replica).collect();
    route
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

pub fn request(host: &str, path: &str) -> http::request::Builder {
    Request::builder().uri(path).header("host", host)
}

pub fn empty() -> Body {
    full("")
}

pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

pub async fn get(address: SocketAddr, host: &str, path: &str) -> Answer {
    send(address, request(host, path).body(empty()).unwrap()).await.unwrap()
}

/// On a connection of its own.
pub async fn send(address: SocketAddr, request: Request<Body>) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    KeepAlive::open(address).await?.send(request).await
}

pub struct KeepAlive {
    sender: hyper::client::conn::http1::SendRequest<Body>,
}

impl KeepAlive {
    pub async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection.with_upgrades());
        Ok(Self { sender })
    }

    pub async fn start(&mut self, request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    pub async fn send(&mut self, request: Request<Body>) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        collect(self.start(request).await?).await
    }
}

pub async fn http2(address: SocketAddr) -> hyper::client::conn::http2::SendRequest<Body> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub async fn collect(response: Response<Incoming>) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Writes raw bytes and reads until the other side closes.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect("the connection stays open");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Polls until `condition` holds; fails after five seconds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

//! Listening, and one task per client connection.

use std::{convert::Infallible, io, net::SocketAddr, os::fd::OwnedFd, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    body::ResponseBody,
    client_stream::ClientStream,
    hygiene::Hop,
    phase::Phase,
    proxy::{Connection, Proxy},
    proxy_protocol,
    tls::{Greeting, Handshakes},
    traffic::{OpenConnection, OpenConnections},
    websocket_h2,
};

const BACKLOG: u32 = 4_096;
/// After an error of accept (no file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long after the stop a connection may wait with its first request; it may have been on its way.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(2);
/// Between two looks at a connection that has sent one or two bytes only.
const PEEK_PAUSE: Duration = Duration::from_millis(5);
const HTTP2_PREFACE: &[u8] = b"PRI";
const HTTP2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Streams reset by the client before they were taken up (rapid reset).
const HTTP2_PENDING_RESETS_MAX: usize = 20;
const HTTP2_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// hyper refuses a smaller buffer.
const HTTP1_BUFFER_BYTES_MIN: usize = 8 * 1024;

/// hyper's own limit of fields is free; setting any limit, even the same, costs time for each request.
const HTTP1_HEADERS_DEFAULT: usize = 100;

/// What a listener's connections begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    Plain,
    Tls,
}

/// Everything that a connection needs; shared by all.
pub struct Server {
    pub proxy: Arc<Proxy>,
    pub open: Arc<OpenConnections>,
    /// For listeners that speak TLS.
    pub handshakes: Handshakes,
    pub trusted_proxies: Vec<IpNet>,
    pub proxy_protocol: bool,
    pub stop: CancellationToken,
    pub connections: TaskTracker,
}

/// Listens on a socket that another process has bound.
pub fn listen_on(socket: OwnedFd) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Binds with `SO_REUSEPORT`, so that a successor can listen before this process has ended.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Server {
    /// Accepts until the stop; what the kernel has accepted by then is served too.
    pub async fn accept(self: Arc<Self>, listener: TcpListener, speaks: Speaks) {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.take(stream, peer, speaks),
                    Err(error) => {
                        tracing::warn!(%error, "no connection can be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        while let Some(Ok((stream, peer))) = futures_util::FutureExt::now_or_never(listener.accept()) {
            self.take(stream, peer, speaks);
        }
    }

    fn take(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, speaks: Speaks) {
        use std::sync::atomic::Ordering::Relaxed;
        let address = peer.ip().to_canonical();
        let is_trusted = self.trusted_proxies.iter().any(|network| network.contains(&address));
        let limits = &self.proxy.limits;
        let per_address_max = (!is_trusted).then_some(limits.connections_per_address_max);
        let Some(open) = self.open.try_open(address, limits.connections_max, per_address_max) else {
            self.proxy.traffic.connections_refused.fetch_add(1, Relaxed);
            return;
        };
        self.proxy.traffic.connections.fetch_add(1, Relaxed);
        let server = Arc::clone(self);
        self.connections.spawn(async move {
            // A broken connection concerns its client only.
            let _ended = server.serve(stream, address, is_trusted, speaks, open).await;
        });
    }

    async fn serve(
        &self,
        mut stream: TcpStream,
        mut peer: std::net::IpAddr,
        mut is_trusted: bool,
        speaks: Speaks,
        open: OpenConnection,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        // A peer that vanished is found by the kernel; tunnels and event streams have no other deadline.
        sockopt::set_socket_keepalive(&stream, true)?;
        let mut _open = open;
        if self.proxy_protocol && is_trusted {
            let first = Duration::from_millis(self.proxy.limits.head_read_timeout_ms);
            if let Some(client) = tokio::time::timeout(first, proxy_protocol::read(&mut stream)).await?? {
                // From here on it is the client's connection: its headers are believed no more than anybody's.
                let limits = &self.proxy.limits;
                let refused = || io::Error::from(io::ErrorKind::QuotaExceeded);
                is_trusted = false;
                peer = client;
                _open = self.open.try_open(client, limits.connections_max, Some(limits.connections_per_address_max)).ok_or_else(refused)?;
            }
        }
        let hop = Hop::new(peer, stream.local_addr()?.port(), is_trusted);
        if speaks == Speaks::Tls {
            // It has a time-out of its own; whoever was accepted is served, also after the stop.
            let Greeting::Client { stream, facts, is_http2 } = self.handshakes.greet(stream).await? else { return Ok(()) };
            let hop = hop.over_tls(facts);
            return if is_http2 { self.serve_http2(stream, hop).await } else { self.serve_http1(stream, hop).await };
        }
        let first_byte = Duration::from_millis(self.proxy.limits.head_read_timeout_ms);
        let is_http2 = tokio::select! {
            speaks = tokio::time::timeout(first_byte, speaks_http2(&stream)) => speaks??,
            () = self.silent_after_stop() => return Ok(()),
        };
        if is_http2 { self.serve_http2(stream, hop).await } else { self.serve_http1(stream, hop).await }
    }

    async fn silent_after_stop(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(FIRST_REQUEST_GRACE).await;
    }

    async fn serve_http1<S>(&self, stream: S, hop: Hop) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.proxy.limits;
        let phase = Arc::new(Phase::default());
        let stream = ClientStream::http1(stream, Arc::clone(&phase), limits);
        let connection = Arc::new(Connection { hop, phase: Some(phase) });
        let asked = CancellationToken::new();
        let service = service_fn(|request| {
            asked.cancel();
            answer(Arc::clone(&self.proxy), Arc::clone(&connection), request)
        });
        let mut builder = http1::Builder::new();
        if limits.headers_max != HTTP1_HEADERS_DEFAULT {
            builder.max_headers(limits.headers_max);
        }
        let serving = builder
            .max_buf_size(limits.head_bytes_max.max(HTTP1_BUFFER_BYTES_MIN))
            .max_header_size(limits.head_bytes_max)
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::pin!(serving);
        let ended = tokio::select! {
            ended = &mut serving => ended,
            // hyper closes a connection that waits for a request; one that never had any may have it on its way.
            () = async {
                self.stop.cancelled().await;
                tokio::select! {
                    () = asked.cancelled() => {}
                    () = tokio::time::sleep(FIRST_REQUEST_GRACE) => {}
                }
            } => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        ended.map_err(io::Error::other)
    }

    async fn serve_http2<S>(&self, stream: S, hop: Hop) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.proxy.limits;
        let stream = ClientStream::http2(stream, limits);
        let connection = Arc::new(Connection { hop, phase: None });
        let proxy = Arc::clone(&self.proxy);
        let service = service_fn(move |request| answer_http2(Arc::clone(&proxy), Arc::clone(&connection), request));
        let serving = http2::Builder::new(Tracked(self.connections.clone()))
            .timer(TokioTimer::new())
            .enable_connect_protocol()
            .max_concurrent_streams(limits.streams_per_connection_max)
            .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(HTTP2_PENDING_RESETS_MAX)
            .max_send_buf_size(HTTP2_SEND_BUFFER_BYTES)
            .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(HTTP2_PING_INTERVAL)
            .keep_alive_timeout(HTTP2_PING_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = self.stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        ended.map_err(io::Error::other)
    }
}

async fn answer(proxy: Arc<Proxy>, connection: Arc<Connection>, request: Request<Incoming>) -> Result<Response<ResponseBody>, Infallible> {
    Ok(proxy.handle(&connection, request).await)
}

/// Like [`answer`], and WebSockets in the words of HTTP/2.
async fn answer_http2(
    proxy: Arc<Proxy>,
    connection: Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let is_connect = request.method() == http::Method::CONNECT;
    let is_websocket = is_connect && websocket_h2::translate(&mut request, proxy.ids.next(0).as_bytes());
    let mut response = proxy.handle(&connection, request).await;
    if is_websocket {
        websocket_h2::translate_back(&mut response);
    }
    Ok(response)
}

/// Looks at the first bytes without taking them. No HTTP/1.1 method begins like the HTTP/2 preface.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0u8; HTTP2_PREFACE.len()];
    loop {
        let count = stream.peek(&mut first).await?;
        let seen = first.get(..count).unwrap_or_default();
        if count == 0 || !HTTP2_PREFACE.starts_with(seen) {
            return Ok(false);
        }
        if count == HTTP2_PREFACE.len() {
            return Ok(true);
        }
        tokio::time::sleep(PEEK_PAUSE).await;
    }
}

/// Runs HTTP/2 streams as tracked tasks.
#[derive(Debug, Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

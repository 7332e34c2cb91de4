//! Connections to one replica. Each replica has its own pool, so nothing is ever shared between services.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep},
};
use tokio_util::task::TaskTracker;

use crate::{body::RequestBody, routes::AppProtocol};

/// Idle connections kept to one replica.
pub const IDLE_PER_REPLICA_MAX: usize = 256;
/// Bytes of an answer's head, and of the read buffer.
pub const ANSWER_HEAD_BYTES_MAX: usize = 64 * 1024;
const HTTP2_HEAD_BYTES_MAX: u32 = 64 * 1024;

/// One connection to a replica. Its timer lives with it: moving a deadline back is far cheaper than making one.
#[derive(Debug)]
pub struct Upstream {
    pub sender: Sender,
    /// `None`: the replica's own port.
    pub port: Option<u16>,
    pub deadline: Pin<Box<Sleep>>,
}

/// A connection serves one request at a time, also with HTTP/2: a request then never waits for another's flow control.
#[derive(Debug)]
pub enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

impl Sender {
    pub async fn try_send_request(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    pub fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    pub fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }

    pub fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

#[derive(Debug, Default)]
pub struct Pool {
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    upstream: Upstream,
    since: Instant,
}

impl Pool {
    /// The most recently used connection that is ready and was idle for less than `idle_max`.
    pub fn take(&self, idle_max: Duration) -> Option<Upstream> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            let entry = idle.get(at)?;
            if entry.upstream.sender.is_closed() {
                idle.remove(at);
            } else if entry.since.elapsed() >= idle_max {
                return None; // those below are older still
            } else if entry.upstream.sender.is_ready() {
                return Some(idle.remove(at).upstream);
            }
        }
        None
    }

    pub fn put(&self, upstream: Upstream) {
        if upstream.sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_PER_REPLICA_MAX {
            idle.push(Idle { upstream, since: Instant::now() });
        }
    }

    pub fn clear(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Closes what was idle for longer than `idle_max`.
    pub fn sweep(&self, idle_max: Duration) {
        let keep = |entry: &Idle| !entry.upstream.sender.is_closed() && entry.since.elapsed() < idle_max;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).retain(keep);
    }
}

/// Opens a connection. An error means that no byte was sent.
pub async fn connect(address: SocketAddr, speaks: AppProtocol, timeout: Duration, tasks: &TaskTracker) -> std::io::Result<Upstream> {
    let stream = tokio::time::timeout(timeout, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    if speaks == AppProtocol::H2c {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let builder = builder.timer(TokioTimer::new()).max_header_list_size(HTTP2_HEAD_BYTES_MAX);
        let handshake = builder.handshake(TokioIo::new(stream));
        let (sender, connection) = tokio::time::timeout(timeout, handshake).await?.map_err(std::io::Error::other)?;
        tasks.spawn(async move {
            let _ended = connection.await;
        });
        return Ok(Upstream { sender: Sender::Http2(sender), port: None, deadline: Box::pin(tokio::time::sleep(timeout)) });
    }
    // No `max_headers`: hyper's own limit (100) is free, any other costs an allocation for each answer.
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(ANSWER_HEAD_BYTES_MAX)
        .max_header_size(ANSWER_HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(std::io::Error::other)?;
    tasks.spawn(async move {
        // Its errors reach the request that it served.
        let _ended = connection.with_upgrades().await;
    });
    Ok(Upstream { sender: Sender::Http1(sender), port: None, deadline: Box::pin(tokio::time::sleep(timeout)) })
}

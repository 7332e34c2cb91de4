//! Connections to one replica. Each replica has its own pool, so nothing is ever shared between services.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep},
};
use tokio_util::task::TaskTracker;

use crate::body::RequestBody;

/// Idle connections kept to one replica.
pub const IDLE_PER_REPLICA_MAX: usize = 256;
/// Bytes of an answer's head, and of the read buffer.
pub const ANSWER_HEAD_BYTES_MAX: usize = 64 * 1024;

/// One connection to a replica. Its timer lives with it: moving a deadline back is far cheaper than making one.
#[derive(Debug)]
pub struct Upstream {
    pub sender: http1::SendRequest<RequestBody>,
    /// `None`: the replica's own port.
    pub port: Option<u16>,
    pub deadline: Pin<Box<Sleep>>,
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
pub async fn connect(address: SocketAddr, timeout: Duration, tasks: &TaskTracker) -> std::io::Result<Upstream> {
    let stream = tokio::time::timeout(timeout, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
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
    Ok(Upstream { sender, port: None, deadline: Box::pin(tokio::time::sleep(timeout)) })
}

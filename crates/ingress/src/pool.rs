//! Connections to one replica. Each replica has its own pool, so nothing is ever shared between services.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};
use tokio_util::task::TaskTracker;

use crate::body::RequestBody;

/// Idle connections kept to one replica.
pub const IDLE_PER_REPLICA_MAX: usize = 256;
/// Bytes of an answer's head, and of the read buffer.
pub const ANSWER_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Header fields of an answer.
pub const ANSWER_HEADERS_MAX: usize = 200;

pub type Sender = http1::SendRequest<RequestBody>;

#[derive(Debug, Default)]
pub struct Pool {
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

impl Pool {
    /// The most recently used connection that is ready and was idle for less than `idle_max`.
    pub fn take(&self, idle_max: Duration) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            let entry = idle.get(at)?;
            if entry.sender.is_closed() {
                idle.remove(at);
            } else if entry.since.elapsed() >= idle_max {
                return None; // those below are older still
            } else if entry.sender.is_ready() {
                return Some(idle.remove(at).sender);
            }
        }
        None
    }

    pub fn put(&self, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_PER_REPLICA_MAX {
            idle.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }

    pub fn clear(&self) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Closes what was idle for longer than `idle_max`.
    pub fn sweep(&self, idle_max: Duration) {
        let keep = |entry: &Idle| !entry.sender.is_closed() && entry.since.elapsed() < idle_max;
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(keep);
    }
}

/// Opens a connection. An error means that no byte was sent.
pub async fn connect(
    address: SocketAddr,
    timeout: Duration,
    tasks: &TaskTracker,
) -> std::io::Result<Sender> {
    let stream = tokio::time::timeout(timeout, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(ANSWER_HEAD_BYTES_MAX)
        .max_header_size(ANSWER_HEAD_BYTES_MAX)
        .max_headers(ANSWER_HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(std::io::Error::other)?;
    tasks.spawn(async move {
        // Its errors reach the request that it served.
        let _ended = connection.with_upgrades().await;
    });
    Ok(sender)
}

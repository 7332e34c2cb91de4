//! A WebSocket after its handshake: bytes both ways, until one side ends or the grace of a drain is over.
//!
//! At the end of the grace the client gets a close frame 1012 between two frames of the app. When the app stays in the
//! middle of a frame for too long the tunnel ends without one: a frame inside a frame would be garbage.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::{
    frames::{FrameTracker, close_frame},
    live::{Claim, InFlight, ReplicaLive, ServiceLive},
};

const BUFFER_BYTES: usize = 16 * 1024;
/// How long a cut waits for the end of the frame that is on its way.
const BOUNDARY_WAIT: Duration = Duration::from_secs(1);
/// How long the other direction lives on after one has ended.
const LINGER: Duration = Duration::from_secs(2);

type Stream = TokioIo<Upgraded>;

/// Runs the tunnel to its end; the claim is given back then.
pub async fn run(client: OnUpgrade, replica: OnUpgrade, claim: Claim, in_flight: Option<InFlight>) {
    let Ok((client, replica)) = tokio::try_join!(client, replica) else {
        return;
    };
    let (client_read, client_write) = tokio::io::split(TokioIo::new(client));
    let (replica_read, replica_write) = tokio::io::split(TokioIo::new(replica));
    let cut = Arc::clone(claim.replica());
    let _open = Open::new(Arc::clone(&cut), in_flight.as_ref().map(|in_flight| Arc::clone(in_flight.service())));
    let (up_bytes, down_bytes) = (&cut.seen.bytes_in, &cut.seen.bytes_out);
    let up = upward(client_read, replica_write, up_bytes);
    let down = downward(replica_read, client_write, cut.cut_tunnels.cancelled(), down_bytes);
    tokio::pin!(up, down);
    // An error of either side ends both; there is nobody left to tell.
    let _ended = tokio::select! {
        _ = &mut up => tokio::time::timeout(LINGER, down).await,
        _ = &mut down => tokio::time::timeout(LINGER, up).await,
    };
    drop((claim, in_flight));
}

/// Counted as open until dropped.
struct Open {
    replica: Arc<ReplicaLive>,
    service: Option<Arc<ServiceLive>>,
}

impl Open {
    fn new(replica: Arc<ReplicaLive>, service: Option<Arc<ServiceLive>>) -> Self {
        replica.tunnels.fetch_add(1, Ordering::Relaxed);
        if let Some(service) = &service {
            service.seen.tunnels.fetch_add(1, Ordering::Relaxed);
        }
        Self { replica, service }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.replica.tunnels.fetch_sub(1, Ordering::Relaxed);
        if let Some(service) = &self.service {
            service.seen.tunnels.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

async fn upward(mut from: ReadHalf<Stream>, mut to: WriteHalf<Stream>, bytes: &AtomicU64) -> io::Result<()> {
    let mut buffer = vec![0u8; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        bytes.fetch_add(count as u64, Ordering::Relaxed);
        to.write_all(buffer.get(..count).unwrap_or_default()).await?;
        to.flush().await?;
    }
}

async fn downward(
    mut from: ReadHalf<Stream>,
    mut to: WriteHalf<Stream>,
    cut: impl Future<Output = ()>,
    sent: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0u8; BUFFER_BYTES];
    let mut frames = FrameTracker::default();
    tokio::pin!(cut);
    loop {
        let count = tokio::select! {
            biased;
            () = &mut cut => break,
            count = from.read(&mut buffer) => count?,
        };
        if count == 0 {
            return to.shutdown().await;
        }
        sent.fetch_add(count as u64, Ordering::Relaxed);
        let bytes = buffer.get(..count).unwrap_or_default();
        frames.feed(bytes);
        let write = write(&mut to, bytes);
        tokio::pin!(write);
        tokio::select! {
            written = &mut write => written?,
            // A write that has begun is finished, or the close frame would land inside of it.
            () = &mut cut => match tokio::time::timeout(BOUNDARY_WAIT, write).await {
                Ok(written) => { written?; break }
                Err(_) => return Ok(()),
            },
        }
    }
    let to_boundary = async {
        while !frames.is_at_boundary() {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let bytes = buffer.get(..count).unwrap_or_default();
            frames.feed(bytes);
            write(&mut to, bytes).await?;
        }
        write(&mut to, &close_frame()).await
    };
    let _ended = tokio::time::timeout(BOUNDARY_WAIT, to_boundary).await;
    to.shutdown().await
}

async fn write(to: &mut WriteHalf<Stream>, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

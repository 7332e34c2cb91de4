//! The process: its threads, its signals, its limits.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

const WORKER_THREADS_MAX: usize = 4;
/// Password hashes, file work. Each thread costs stack and an arena of the allocator.
const BLOCKING_THREADS_MAX: usize = 16;
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(5);

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

pub fn start() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores().clamp(1, WORKER_THREADS_MAX))
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_keep_alive(BLOCKING_KEEP_ALIVE)
        .thread_name("seaway")
        .enable_all()
        .build()
        .context("the threads of the process cannot be started")
}

/// Memory holds keys: it must not land in a file when the process crashes.
pub fn forbid_core_dumps() {
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        tracing::warn!("core dumps could not be turned off: {error}");
    }
}

/// Two tokens: the first signal asks for an ordered end, the second one ends at once.
#[derive(Clone, Default)]
pub struct Stop {
    pub soft: CancellationToken,
    pub hard: CancellationToken,
}

impl Stop {
    /// Listens for SIGTERM and SIGINT from now on.
    pub fn on_signals() -> Result<Self> {
        let stop = Self::default();
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
        let told = stop.clone();
        tokio::spawn(async move {
            next(&mut terminate, &mut interrupt).await;
            tracing::info!("stopping: requests and jobs in flight may end (a second signal stops at once)");
            told.soft.cancel();
            next(&mut terminate, &mut interrupt).await;
            tracing::warn!("stopping at once");
            told.hard.cancel();
        });
        Ok(stop)
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

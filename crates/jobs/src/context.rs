//! What the runner is made of, and its limits.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Clock, Entropy};
use store::Store;

use crate::Handlers;

/// How much runs at once, and how fast a dead worker is noticed.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Deployments at a time in this process.
    pub deployments: usize,
    /// Background jobs at a time in this process.
    pub background: usize,
    /// Without a heartbeat for this long a job is taken over by another worker.
    pub lease: Duration,
    pub heartbeat: Duration,
    /// Looking for work that nobody in this process enqueued (retries that came due, other processes). At most 1 s.
    pub poll: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deployments: 4,
            background: 8,
            lease: Duration::from_secs(10),
            heartbeat: Duration::from_secs(3),
            poll: Duration::from_secs(1),
        }
    }
}

/// Everything a runner needs.
pub struct Parts {
    pub store: Store,
    pub handlers: Handlers,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub limits: Limits,
    /// Unique per start of a process (host, pid, random).
    pub owner: String,
}

impl Parts {
    /// The instant on which a lease taken now ends.
    pub(crate) fn lease_until(&self) -> DateTime<Utc> {
        later(self.clock.now(), self.limits.lease)
    }
}

pub(crate) fn later(time: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(by).ok().and_then(|by| time.checked_add_signed(by)).unwrap_or(time)
}

//! Golden signals of one release.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use domain::latency::{BUCKETS, Latencies, bucket_of};
use http::StatusCode;

use crate::wire::ReleaseMetrics;

/// Releases remembered for one service; the oldest goes.
pub const RELEASES_MAX: usize = 8;

#[derive(Debug)]
pub struct ReleaseSeen {
    pub release: u64,
    requests: AtomicU64,
    by_class: [AtomicU64; 6],
    pub unanswered: AtomicU64,
    pub cut: AtomicU64,
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
    latencies: [AtomicU64; BUCKETS],
}

impl ReleaseSeen {
    pub fn new(release: u64) -> Self {
        Self {
            release,
            requests: AtomicU64::new(0),
            by_class: Default::default(),
            unanswered: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            latencies: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }

    /// An answer's head came; `latency` from the request's head to it. A WebSocket's is not a latency of the app's work, but
    /// its handshake is.
    pub fn answered(&self, status: StatusCode, latency: Duration) {
        self.requests.fetch_add(1, Relaxed);
        if let Some(class) = self.by_class.get(usize::from(status.as_u16() / 100)) {
            class.fetch_add(1, Relaxed);
        }
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.latencies.get(bucket_of(latency_us)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// The replica was asked and no answer came: an error of the release as far as a visitor can tell.
    pub fn unanswered(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.unanswered.fetch_add(1, Relaxed);
    }

    pub fn read(&self) -> ReleaseMetrics {
        let class = |digit: usize| self.by_class.get(digit).map_or(0, |count| count.load(Relaxed));
        ReleaseMetrics {
            release: self.release,
            requests: self.requests.load(Relaxed),
            status_1xx: class(1),
            status_2xx: class(2),
            status_3xx: class(3),
            status_4xx: class(4),
            status_5xx: class(5),
            unanswered: self.unanswered.load(Relaxed),
            cut: self.cut.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            latencies: Latencies::from_counts(self.latencies.iter().map(|count| count.load(Relaxed))),
        }
    }
}

/// The releases of one service, and when it was last asked for.
#[derive(Debug, Default)]
pub struct ServiceSeen {
    releases: Mutex<Vec<Arc<ReleaseSeen>>>,
    /// 0: never since the start of the process.
    pub last_request_ms: AtomicI64,
    pub tunnels: AtomicU64,
    pub samples: super::samples::Samples,
    pub log_budget: super::log::Budget,
}

impl ServiceSeen {
    /// The counters of a release; they go on where the release was seen before.
    pub fn release(&self, release: u64) -> Arc<ReleaseSeen> {
        let mut releases = self.releases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = releases.iter().find(|known| known.release == release) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(ReleaseSeen::new(release));
        if releases.len() >= RELEASES_MAX {
            releases.remove(0);
        }
        releases.push(Arc::clone(&fresh));
        fresh
    }

    pub fn read(&self) -> Vec<ReleaseMetrics> {
        self.releases.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|release| release.read()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_release_is_forgotten_and_counters_go_on() {
        let seen = ServiceSeen::default();
        for release in 1..=RELEASES_MAX as u64 + 2 {
            seen.release(release).answered(StatusCode::OK, Duration::from_millis(3));
        }
        seen.release(10).answered(StatusCode::BAD_GATEWAY, Duration::from_millis(40));
        let read = seen.read();
        assert_eq!((read.len(), read[0].release), (RELEASES_MAX, 3));
        let last = read.last().unwrap();
        assert_eq!((last.release, last.requests, last.status_2xx, last.status_5xx, last.latencies.count()), (10, 2, 1, 1, 2));
        assert!(last.latencies.quantile_us(0.99).unwrap() > 40_000);
    }
}

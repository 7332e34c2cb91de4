//! Runs with an answer until its last byte, then adds up and writes the line.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use tokio::time::Instant;

use super::{counters::ReleaseSeen, log::AccessLogs};
use crate::{body::BodyProgress, live::ServiceLive, wire::RequestLine};

#[derive(Debug)]
pub struct Meter {
    pub service: Arc<ServiceLive>,
    pub release: Option<Arc<ReleaseSeen>>,
    pub begin: Instant,
    pub progress: Option<Arc<BodyProgress>>,
    pub bytes_out: u64,
    /// There for requests that are logged or sampled.
    pub line: Option<Box<Line>>,
}

#[derive(Debug)]
pub struct Line {
    pub line: RequestLine,
    pub logs: Option<AccessLogs>,
    pub is_sample: bool,
}

impl Drop for Meter {
    fn drop(&mut self) {
        let bytes_in = self.progress.as_ref().map_or(0, |progress| progress.bytes());
        if let Some(release) = &self.release {
            release.bytes_in.fetch_add(bytes_in, Relaxed);
            release.bytes_out.fetch_add(self.bytes_out, Relaxed);
        }
        let Some(line) = self.line.take() else { return };
        let Line { mut line, logs, is_sample } = *line;
        line.duration_us = u64::try_from(self.begin.elapsed().as_micros()).unwrap_or(u64::MAX);
        (line.bytes_in, line.bytes_out) = (bytes_in, self.bytes_out);
        if is_sample {
            self.service.seen.samples.add(line.clone());
        }
        if let Some(logs) = logs
            && self.service.seen.log_budget.take(line.at_ms)
            && !logs.add(&self.service.id, line)
        {
            self.service.seen.log_budget.dropped.fetch_add(1, Relaxed);
        }
    }
}

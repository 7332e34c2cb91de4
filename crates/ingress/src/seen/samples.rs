//! A few of a service's requests, in memory: enough to see what is going on, never all of them.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

use crate::wire::RequestLine;

/// Requests remembered for one service.
pub const SAMPLES_MAX: usize = 200;
/// At most one request in this time, and one failed one besides.
pub const SAMPLE_EVERY_MS: i64 = 200;

#[derive(Debug, Default)]
pub struct Samples {
    next_at_ms: AtomicI64,
    next_error_at_ms: AtomicI64,
    lines: Mutex<VecDeque<RequestLine>>,
}

impl Samples {
    /// Whether the request is one of the sample; answers `true` to one caller in each interval.
    pub fn is_due(&self, now_ms: i64, is_5xx: bool) -> bool {
        let next = if is_5xx { &self.next_error_at_ms } else { &self.next_at_ms };
        let due = next.load(Relaxed);
        // A clock that was set back must not silence the table.
        let is_over = now_ms >= due || due - now_ms > SAMPLE_EVERY_MS;
        is_over && next.compare_exchange(due, now_ms + SAMPLE_EVERY_MS, Relaxed, Relaxed).is_ok()
    }

    pub fn add(&self, line: RequestLine) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= SAMPLES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Newest first.
    pub fn read(&self) -> Vec<RequestLine> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_each_interval_errors_apart_and_bounded() {
        let samples = Samples::default();
        let due = (0..1_000).filter(|now_ms| samples.is_due(1_000_000 + now_ms, false)).count();
        assert_eq!(due, 5);
        assert!(samples.is_due(1_001_000, true), "an error has a place of its own");
        assert!(samples.is_due(5_000, false), "the clock was set back");
        for at_ms in 0..SAMPLES_MAX as i64 + 10 {
            samples.add(RequestLine { at_ms, ..RequestLine::default() });
        }
        let read = samples.read();
        assert_eq!((read.len(), read[0].at_ms, read[SAMPLES_MAX - 1].at_ms), (SAMPLES_MAX, SAMPLES_MAX as i64 + 9, 10));
    }
}

//! How much one replica may write. Pure; time comes in.

use std::time::Duration;

use tokio::time::Instant;

/// Lines per second that are kept, and how many may come at once.
pub const LINES_PER_SECOND: f64 = 500.0;
pub const LINES_BURST: f64 = 5_000.0;
/// Bytes per second that are kept, and how many may come at once.
pub const BYTES_PER_SECOND: f64 = 512.0 * 1024.0;
pub const BYTES_BURST: f64 = 4.0 * 1024.0 * 1024.0;
/// Dropped bytes after which the reader stops reading for [`PAUSE`]: reading only to drop costs the engine and us a core.
pub const DROPPED_BYTES_BEFORE_PAUSE: u64 = 2 * 1024 * 1024;
pub const PAUSE: Duration = Duration::from_secs(2);

/// Two buckets that refill with time.
pub struct Budget {
    lines: f64,
    bytes: f64,
    refilled: Instant,
    /// Since the last gap that was written.
    pub dropped_lines: u64,
    pub dropped_bytes: u64,
}

impl Budget {
    pub fn new(now: Instant) -> Self {
        Self { lines: LINES_BURST, bytes: BYTES_BURST, refilled: now, dropped_lines: 0, dropped_bytes: 0 }
    }

    /// `true`: keep the line.
    pub fn take(&mut self, size_bytes: usize, now: Instant) -> bool {
        let seconds = now.duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        self.lines = (self.lines + seconds * LINES_PER_SECOND).min(LINES_BURST);
        self.bytes = (self.bytes + seconds * BYTES_PER_SECOND).min(BYTES_BURST);
        #[expect(clippy::cast_precision_loss, reason = "a line is far below 2^52 bytes")]
        let size = size_bytes as f64;
        if self.lines >= 1.0 && self.bytes >= size {
            self.lines -= 1.0;
            self.bytes -= size;
            return true;
        }
        self.dropped_lines += 1;
        self.dropped_bytes += u64::try_from(size_bytes).unwrap_or(u64::MAX);
        false
    }

    pub fn is_flooded(&self) -> bool {
        self.dropped_bytes > DROPPED_BYTES_BEFORE_PAUSE
    }

    /// Lines dropped since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        self.dropped_bytes = 0;
        std::mem::take(&mut self.dropped_lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_a_flood_is_counted() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let kept = (0..20_000).filter(|_| budget.take(100, start)).count();
        assert_eq!(kept, 5_000);
        assert_eq!(budget.take_dropped(), 15_000);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..20_000).filter(|_| budget.take(100, later)).count(), 500);
    }

    #[test]
    fn long_lines_are_limited_by_bytes() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let kept = (0..1_000).filter(|_| budget.take(16 * 1024, start)).count();
        assert_eq!(kept, 256);
        assert!(budget.is_flooded());
    }
}

//! What the requests to a replica say about it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use tokio::time::Instant;

/// After a failed connect a replica is passed over until a probe reaches it; restored ones for this long.
pub const DOWN_MS: u64 = 5_000;
/// 5xx answers in a row, with no other in between, that eject a replica.
pub const STREAK_MAX: u32 = 10;
/// First ejection for a streak; each that follows at once lasts twice as long.
pub const EJECTED_MS: u64 = 5_000;
/// Longest ejection.
pub const EJECTED_MS_MAX: u64 = 60_000;

#[derive(Debug)]
pub struct Health {
    born: Instant,
    down_until_ms: AtomicU64,
    is_probed: AtomicBool,
    streak: AtomicU32,
    ejections: AtomicU32,
}

impl Health {
    pub fn new() -> Self {
        Self {
            born: Instant::now(),
            down_until_ms: AtomicU64::new(0),
            is_probed: AtomicBool::new(false),
            streak: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
        }
    }

    pub fn is_down(&self) -> bool {
        self.is_probed.load(Relaxed)
            || match self.down_until_ms.load(Relaxed) {
                0 => false,
                until => self.age_ms() < until,
            }
    }

    /// For a while, without a probe.
    pub fn mark_down(&self) {
        self.down_until_ms.store(self.age_ms() + DOWN_MS, Relaxed);
    }

    /// No connection: down until [`Self::reached`]. `true`: the caller has to start the probe.
    pub fn unreachable(&self) -> bool {
        !self.is_probed.swap(true, Relaxed)
    }

    /// A connection could be opened.
    pub fn reached(&self) {
        self.is_probed.store(false, Relaxed);
        self.down_until_ms.store(0, Relaxed);
    }

    /// Counts an answer. A streak of 5xx ejects; after an ejection the next bad answer is enough, a good one forgives all.
    pub fn answered(&self, is_5xx: bool) {
        if !is_5xx {
            if self.streak.load(Relaxed) > 0 {
                self.streak.store(0, Relaxed);
                self.ejections.store(0, Relaxed);
            }
            return;
        }
        let streak = self.streak.fetch_add(1, Relaxed) + 1;
        if streak >= STREAK_MAX && !self.is_down() {
            let times = self.ejections.fetch_add(1, Relaxed).min(16);
            let length_ms = (EJECTED_MS << times).min(EJECTED_MS_MAX);
            self.down_until_ms.store(self.age_ms() + length_ms, Relaxed);
        }
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_streak_ejects_for_longer_and_longer_and_one_good_answer_forgives() {
        let health = Health::new();
        for _ in 0..STREAK_MAX - 1 {
            health.answered(true);
        }
        health.answered(false);
        health.answered(true);
        assert!(!health.is_down(), "a good answer in between");
        let mut lengths = Vec::new();
        for _ in 0..6 {
            while !health.is_down() {
                health.answered(true);
            }
            let begin = Instant::now();
            while health.is_down() {
                tokio::time::advance(Duration::from_millis(500)).await;
            }
            lengths.push(begin.elapsed().as_secs());
        }
        assert_eq!(lengths, [5, 10, 20, 40, 60, 60]);
        health.answered(false);
        for _ in 0..STREAK_MAX - 1 {
            health.answered(true);
        }
        assert!(!health.is_down());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unreachable_one_is_down_until_it_is_reached() {
        let health = Health::new();
        assert!(health.unreachable());
        assert!(!health.unreachable(), "one probe at a time");
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert!(health.is_down());
        health.reached();
        assert!(!health.is_down() && health.unreachable());
    }
}

//! Counting events per key and window, in memory: failed log-ins per source, mails per address, denied requests per person.
//! Each process counts for itself; what must survive a restart is in the database ([`store::throttles`]).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// Keys remembered; when full, those whose window is over are dropped, then all.
const KEYS_MAX: usize = 50_000;

/// Fixed windows.
#[derive(Default)]
pub struct Windows(Mutex<HashMap<[u8; 32], Window>>);

struct Window {
    ends: DateTime<Utc>,
    count: u32,
}

impl Windows {
    /// Counts one event and answers its number within the window, from 1.
    pub fn count(&self, key: [u8; 32], length: TimeDelta, now: DateTime<Utc>) -> u32 {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= KEYS_MAX {
            windows.retain(|_, window| window.ends > now);
            if windows.len() >= KEYS_MAX {
                windows.clear();
            }
        }
        let window = windows.entry(key).or_insert(Window { ends: now + length, count: 0 });
        if window.ends <= now {
            *window = Window { ends: now + length, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        window.count
    }

    /// How many so far, and when the window ends.
    pub fn look(&self, key: &[u8; 32], now: DateTime<Utc>) -> (u32, DateTime<Utc>) {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.get(key).filter(|window| window.ends > now).map_or((0, now), |window| (window.count, window.ends))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_within_the_window_and_begins_anew_after_it() {
        let windows = Windows::default();
        let now = DateTime::UNIX_EPOCH;
        let minute = TimeDelta::minutes(1);
        assert_eq!((windows.count([1; 32], minute, now), windows.count([1; 32], minute, now)), (1, 2));
        assert_eq!(windows.count([2; 32], minute, now), 1);
        assert_eq!(windows.look(&[1; 32], now), (2, now + minute));
        assert_eq!(windows.look(&[1; 32], now + minute).0, 0);
        assert_eq!(windows.count([1; 32], minute, now + minute), 1);
    }
}

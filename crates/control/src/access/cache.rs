//! Facts remembered for a moment, so that a busy client does not cost look-ups at every request.
//!
//! Invariant: revocation inside this process is immediate ([`Remembered::forget_all`]); another process of the same
//! database notices after [`REMEMBERED`] at the latest.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{OrganizationId, UserId};
use store::memberships::MembershipRow;

use super::Principal;

/// How long a fact is believed without asking the database again.
pub const REMEMBERED: TimeDelta = TimeDelta::seconds(2);
const ENTRIES_MAX: usize = 10_000;

/// Principals by the digest of what was presented.
pub type PrincipalCache = Remembered<[u8; 32], Principal>;
/// Memberships by person and organization.
pub type MembershipCache = Remembered<(UserId, OrganizationId), MembershipRow>;

pub struct Remembered<K, V> {
    entries: RwLock<HashMap<K, (DateTime<Utc>, V)>>,
    /// Counts the calls of `forget_all`: what was looked up before one must not be remembered after it.
    generation: AtomicU64,
}

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self { entries: RwLock::default(), generation: AtomicU64::new(0) }
    }
}

impl<K: Eq + Hash, V: Clone> Remembered<K, V> {
    pub fn get(&self, key: &K, now: DateTime<Utc>) -> Option<V> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|(at, _)| now - *at < REMEMBERED && now >= *at).map(|(_, value)| value.clone())
    }

    /// Take it before the look-up and give it to [`Remembered::put`].
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn put(&self, key: K, value: V, now: DateTime<Utc>, generation: u64) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if self.generation.load(Ordering::Acquire) != generation {
            return;
        }
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(key, (now, value));
    }

    /// After any revocation, change of a role or removal: nobody is believed without a look-up.
    pub fn forget_all(&self) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        self.generation.fetch_add(1, Ordering::AcqRel);
        entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_up_before_a_revocation_is_not_remembered_after_it() {
        let cache = Remembered::<u8, u8>::default();
        let now = DateTime::UNIX_EPOCH;
        let generation = cache.generation();
        cache.put(1, 1, now, generation);
        assert_eq!(cache.get(&1, now), Some(1));
        assert_eq!(cache.get(&1, now + REMEMBERED), None);
        assert_eq!(cache.get(&1, now - TimeDelta::seconds(1)), None, "a clock that went back");
        cache.forget_all();
        assert_eq!(cache.get(&1, now), None);
        cache.put(1, 1, now, generation);
        assert_eq!(cache.get(&1, now), None);
        cache.put(1, 1, now, cache.generation());
        assert_eq!(cache.get(&1, now), Some(1));
    }
}

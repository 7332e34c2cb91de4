//! Facts remembered for a moment, so that a busy client does not cost look-ups at every request.
//!
//! Invariant: with SQLite nothing is believed across a commit of this process, whatever it changed ([`store::Standing`]), and
//! nothing for longer than [`REMEMBERED`]. With PostgreSQL revocation inside this process is immediate
//! ([`Remembered::forget_all`]); another process of the same database notices after [`REMEMBERED`] at the latest.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{OrganizationId, UserId};
use store::Standing;
use store::memberships::MembershipRow;

use super::{Kind, Located, Principal};

/// How long a fact is believed without asking the database again.
pub const REMEMBERED: TimeDelta = TimeDelta::seconds(2);
const ENTRIES_MAX: usize = 10_000;

/// Principals by the digest of what was presented.
pub type PrincipalCache = Remembered<[u8; 32], Principal>;
/// Memberships by person and organization.
pub type MembershipCache = Remembered<(UserId, OrganizationId), MembershipRow>;
/// Where resources stand, by what a path said. Only while every commit is seen: a move must be noticed at once.
pub type LocatedCache = Remembered<(Kind, String), Located>;

pub struct Remembered<K, V> {
    entries: RwLock<HashMap<K, (Look, V)>>,
    /// Counts the calls of `forget_all`: what was looked up before one must not be remembered after it.
    generation: AtomicU64,
}

/// The moment before a look-up.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    at: DateTime<Utc>,
    standing: Standing,
    generation: u64,
}

impl Look {
    /// Whether what was found then is still so.
    fn stands(&self, now: &Self) -> bool {
        let young = now.at - self.at < REMEMBERED && now.at >= self.at;
        young && self.standing == now.standing && self.standing != Standing::Changing
    }

    /// Whether no commit can be missed.
    pub fn sees_every_commit(&self) -> bool {
        matches!(self.standing, Standing::Settled(_))
    }
}

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self { entries: RwLock::default(), generation: AtomicU64::new(0) }
    }
}

impl<K: Eq + Hash, V: Clone> Remembered<K, V> {
    /// Take it before [`Remembered::get`] and the look-up, and give it to [`Remembered::put`].
    pub fn look(&self, at: DateTime<Utc>, standing: Standing) -> Look {
        Look { at, standing, generation: self.generation.load(Ordering::Acquire) }
    }

    pub fn get(&self, key: &K, look: &Look) -> Option<V> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|(then, _)| then.stands(look)).map(|(_, value)| value.clone())
    }

    pub fn put(&self, key: K, value: V, look: Look) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if self.generation.load(Ordering::Acquire) != look.generation || look.standing == Standing::Changing {
            return;
        }
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(key, (look, value));
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

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    #[test]
    fn what_was_looked_up_before_a_revocation_is_not_remembered_after_it() {
        let cache = Remembered::<u8, u8>::default();
        let look = |at| cache.look(at, Standing::Shared);
        let before = look(NOW);
        cache.put(1, 1, before);
        assert_eq!(cache.get(&1, &look(NOW)), Some(1));
        assert_eq!(cache.get(&1, &look(NOW + REMEMBERED)), None);
        assert_eq!(cache.get(&1, &look(NOW - TimeDelta::seconds(1))), None, "a clock that went back");
        cache.forget_all();
        assert_eq!(cache.get(&1, &look(NOW)), None);
        cache.put(1, 1, before);
        assert_eq!(cache.get(&1, &look(NOW)), None);
        cache.put(1, 1, look(NOW));
        assert_eq!(cache.get(&1, &look(NOW)), Some(1));
    }

    #[test]
    fn nothing_is_believed_across_a_commit_that_is_seen() {
        let cache = Remembered::<u8, u8>::default();
        let look = |standing| cache.look(NOW, standing);
        cache.put(1, 1, look(Standing::Settled(1)));
        assert_eq!(cache.get(&1, &look(Standing::Settled(1))), Some(1));
        assert_eq!(cache.get(&1, &look(Standing::Changing)), None, "a commit is under way");
        assert_eq!(cache.get(&1, &look(Standing::Settled(2))), None);
        cache.put(2, 2, look(Standing::Changing));
        assert_eq!(cache.get(&2, &look(Standing::Changing)), None);
    }
}

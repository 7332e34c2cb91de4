//! Principals remembered for a moment, so that a busy client does not cost two lookups a request.
//!
//! Invariant: revocation inside this process is immediate ([`PrincipalCache::forget_all`]); another process of the same
//! database notices after [`REMEMBERED`] at the latest.

use std::collections::HashMap;
use std::sync::RwLock;

use chrono::{DateTime, TimeDelta, Utc};

use super::Principal;

/// How long a principal is believed without asking the database again.
pub const REMEMBERED: TimeDelta = TimeDelta::seconds(2);
const ENTRIES_MAX: usize = 10_000;

/// Principals by the digest of what was presented.
#[derive(Default)]
pub struct PrincipalCache(RwLock<HashMap<[u8; 32], (DateTime<Utc>, Principal)>>);

impl PrincipalCache {
    pub fn get(&self, digest: &[u8; 32], now: DateTime<Utc>) -> Option<Principal> {
        let entries = self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        entries.get(digest).filter(|(at, _)| now - *at < REMEMBERED && now >= *at).map(|(_, principal)| principal.clone())
    }

    pub fn put(&self, digest: [u8; 32], principal: Principal, now: DateTime<Utc>) {
        let mut entries = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if entries.len() >= ENTRIES_MAX {
            entries.clear();
        }
        entries.insert(digest, (now, principal));
    }

    /// After any revocation, change of a role or removal: nobody is believed without a look-up.
    pub fn forget_all(&self) {
        self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    }
}

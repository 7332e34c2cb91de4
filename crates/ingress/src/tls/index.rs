//! Which certificate serves which name. Read once per handshake and once per plain request that may be redirected.
//!
//! A lock, not a snapshot: a change of one certificate must not copy ten thousand names.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use crate::certificates;

/// When two certificates hold the same name, the higher one is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    SelfSigned,
    Acme,
    Own,
}

/// One certificate that is served. Its key is read and parsed at the first handshake that needs it.
#[derive(Debug)]
pub struct Entry {
    pub id: String,
    pub names: Vec<String>,
    pub rank: Rank,
    pub not_after: DateTime<Utc>,
    /// Of the leaf.
    pub fingerprint: String,
    pub key: ArcSwapOption<CertifiedKey>,
}

impl Entry {
    pub fn new(id: impl Into<String>, names: Vec<String>, rank: Rank, not_after: DateTime<Utc>, fingerprint: &str) -> Self {
        Self { id: id.into(), names, rank, not_after, fingerprint: fingerprint.to_owned(), key: ArcSwapOption::empty() }
    }

    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| certificates::covers(name, host))
    }
}

#[derive(Debug, Default)]
pub struct Index {
    /// By name; a wildcard is kept with its `*.`.
    names: RwLock<HashMap<String, Vec<Arc<Entry>>>>,
}

impl Index {
    /// The best certificate for a normalised name: exact before wildcard, valid before expired, then rank, then the later end.
    pub fn find(&self, name: &str, now: DateTime<Utc>) -> Option<Arc<Entry>> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let best = |entries: &Vec<Arc<Entry>>| {
            entries.iter().max_by_key(|entry| (entry.not_after > now, entry.rank, entry.not_after)).map(Arc::clone)
        };
        let exact = names.get(name).and_then(best);
        if exact.as_ref().is_some_and(|entry| entry.not_after > now) {
            return exact;
        }
        let wildcard = name.split_once('.').and_then(|(_, parent)| names.get(&format!("*.{parent}"))).and_then(best);
        match wildcard {
            Some(entry) if exact.is_none() || entry.not_after > now => Some(entry),
            _ => exact,
        }
    }

    /// Replaces whatever was served under `id`.
    pub fn put(&self, entry: &Arc<Entry>) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        for name in &entry.names {
            let entries = names.entry(name.clone()).or_default();
            entries.retain(|other| other.id != entry.id);
            entries.push(Arc::clone(entry));
        }
    }

    /// Takes one certificate out.
    pub fn remove(&self, entry: &Entry) {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        for name in &entry.names {
            if let Some(entries) = names.get_mut(name) {
                entries.retain(|other| !std::ptr::eq(Arc::as_ptr(other), entry));
                if entries.is_empty() {
                    names.remove(name);
                }
            }
        }
    }

    pub fn len(&self) -> usize {
        self.names.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use domain::Clock as _;

    use super::*;

    #[test]
    fn exact_before_wildcard_valid_before_expired_own_before_ordered() {
        let now = domain::FixedClock::default().now();
        let (soon, later, past) = (now + TimeDelta::days(1), now + TimeDelta::days(90), now - TimeDelta::days(1));
        let index = Index::default();
        let put = |id: &str, name: &str, rank, until| {
            let entry = Arc::new(Entry::new(id, vec![name.to_owned()], rank, until, id));
            index.put(&entry);
            entry
        };
        put("wild", "*.a.test", Rank::Acme, later);
        let exact = put("exact", "x.a.test", Rank::Acme, soon);
        let found = |name: &str| index.find(name, now).map(|entry| entry.id.clone());
        assert_eq!(found("x.a.test").unwrap(), "exact");
        assert_eq!(found("y.a.test").unwrap(), "wild");
        assert_eq!((found("a.test"), found("x.y.a.test")), (None, None));
        put("own", "x.a.test", Rank::Own, soon);
        assert_eq!(found("x.a.test").unwrap(), "own");
        put("own", "x.a.test", Rank::Own, past);
        assert_eq!(found("x.a.test").unwrap(), "exact", "an expired one gives way");
        index.remove(&exact);
        assert_eq!(found("x.a.test").unwrap(), "wild", "a valid wildcard is better than an expired exact one");
    }
}

//! Rate limits: one token bucket per class and caller (GCRA), in memory. Headers follow draft-ietf-httpapi-ratelimit-headers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::endpoint::RateClass;

/// Callers remembered per class; when full, those with a full bucket are dropped.
const CALLERS_MAX: usize = 100_000;

/// Quota of a class: `requests` per `window`.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    pub requests: u32,
    pub window: Duration,
}

#[derive(Debug, Clone, Copy)]
pub struct Quotas {
    pub default: Quota,
    pub deploy: Quota,
    pub login: Quota,
    /// Wrong tokens and cookies per address.
    pub failure: Quota,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            default: Quota { requests: 600, window: Duration::from_secs(60) },
            deploy: Quota { requests: 240, window: Duration::from_secs(3600) },
            login: Quota { requests: 60, window: Duration::from_secs(60) },
            failure: Quota { requests: 60, window: Duration::from_secs(60) },
        }
    }
}

impl Quotas {
    fn of(&self, class: RateClass) -> (Quota, &'static str) {
        match class {
            RateClass::Default => (self.default, "default"),
            RateClass::Deploy => (self.deploy, "deploy"),
            RateClass::Login => (self.login, "login"),
            RateClass::Failure => (self.failure, "failure"),
        }
    }
}

/// What a call left.
#[derive(Debug, Clone, Copy)]
pub struct Verdict {
    pub policy: &'static str,
    pub quota: Quota,
    pub remaining: u32,
    /// Until the bucket is full again, or, when refused, until the next call may pass.
    pub wait: Duration,
    pub allowed: bool,
}

impl Verdict {
    pub fn policy_header(&self) -> String {
        format!("\"{}\";q={};w={}", self.policy, self.quota.requests, self.quota.window.as_secs())
    }

    pub fn remaining_header(&self) -> String {
        format!("\"{}\";r={};t={}", self.policy, self.remaining, self.wait_seconds())
    }

    pub fn wait_seconds(&self) -> u64 {
        self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0)
    }
}

/// The buckets.
pub struct Limiter {
    quotas: Quotas,
    /// Theoretical arrival time per policy and caller.
    arrivals: Mutex<HashMap<(&'static str, u128), Instant>>,
}

impl Limiter {
    pub fn new(quotas: Quotas) -> Self {
        Self { quotas, arrivals: Mutex::new(HashMap::new()) }
    }

    /// Whether a call would pass, without counting one.
    pub fn look(&self, class: RateClass, caller: u128, now: Instant) -> Verdict {
        let (quota, policy) = self.quotas.of(class);
        let interval = quota.window / quota.requests.max(1);
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let used = arrivals.get(&(policy, caller)).map_or(Duration::ZERO, |arrival| arrival.saturating_duration_since(now));
        let room = quota.window.saturating_sub(used);
        let left = room.as_nanos() / interval.as_nanos().max(1);
        Verdict {
            policy,
            quota,
            remaining: u32::try_from(left).unwrap_or(u32::MAX),
            wait: interval.saturating_sub(room),
            allowed: room >= interval,
        }
    }

    pub fn check(&self, class: RateClass, caller: u128, now: Instant) -> Verdict {
        let (quota, policy) = self.quotas.of(class);
        self.count((policy, caller), policy, quota, now)
    }

    /// Counts a call of one who has a quota of their own.
    pub fn check_own(&self, policy: &'static str, quota: Quota, caller: u128, now: Instant) -> Verdict {
        self.count((policy, caller), policy, quota, now)
    }

    fn count(&self, key: (&'static str, u128), policy: &'static str, quota: Quota, now: Instant) -> Verdict {
        let interval = quota.window / quota.requests.max(1);
        let mut arrivals = self.arrivals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if arrivals.len() >= CALLERS_MAX {
            arrivals.retain(|_, arrival| *arrival > now);
        }
        let arrival = arrivals.entry(key).or_insert(now);
        let earliest = (*arrival).max(now);
        let used = earliest.duration_since(now);
        let room = quota.window.saturating_sub(used);
        if room < interval {
            return Verdict { policy, quota, remaining: 0, wait: interval.saturating_sub(room), allowed: false };
        }
        *arrival = earliest + interval;
        let used = used + interval;
        let left = quota.window.saturating_sub(used).as_nanos() / interval.as_nanos().max(1);
        Verdict { policy, quota, remaining: u32::try_from(left).unwrap_or(u32::MAX), wait: used, allowed: true }
    }
}

/// Digests of tokens and cookies that were right lately. They only pass the limit of wrong ones; who may do what is asked
/// of the database all the same.
#[derive(Default)]
pub struct Proven(RwLock<HashMap<[u8; 32], Instant>>);

impl Proven {
    /// How long one counts.
    const LIFE: Duration = Duration::from_secs(600);
    /// Noted again after this long.
    const RENEWED: Duration = Duration::from_secs(60);
    const ENTRIES_MAX: usize = 20_000;

    pub fn digest(text: &str) -> [u8; 32] {
        Sha256::digest(text.as_bytes()).into()
    }

    pub fn knows(&self, digest: &[u8; 32], now: Instant) -> bool {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(digest).is_some_and(|at| now.saturating_duration_since(*at) < Self::LIFE)
    }

    pub fn note(&self, digest: [u8; 32], now: Instant) {
        let noted = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&digest).copied();
        if noted.is_some_and(|at| now.saturating_duration_since(at) < Self::RENEWED) {
            return;
        }
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= Self::ENTRIES_MAX {
            entries.retain(|_, at| now.saturating_duration_since(*at) < Self::LIFE);
            if entries.len() >= Self::ENTRIES_MAX {
                entries.clear();
            }
        }
        entries.insert(digest, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_passes_and_not_one_more_until_time_goes_by() {
        let quota = Quota { requests: 3, window: Duration::from_secs(3) };
        let limiter = Limiter::new(Quotas { default: quota, deploy: quota, login: quota, failure: quota });
        let now = Instant::now();
        for left in [2, 1, 0] {
            let verdict = limiter.check(RateClass::Default, 1, now);
            assert!(verdict.allowed);
            assert_eq!(verdict.remaining, left);
        }
        let refused = limiter.check(RateClass::Default, 1, now);
        assert!(!refused.allowed);
        assert_eq!(refused.wait_seconds(), 1);
        assert!(limiter.check(RateClass::Default, 2, now).allowed, "another caller has a bucket of its own");
        assert!(limiter.check(RateClass::Deploy, 1, now).allowed, "another class too");
        assert!(!limiter.look(RateClass::Default, 1, now).allowed && limiter.look(RateClass::Default, 3, now).allowed);
        assert!(limiter.look(RateClass::Default, 1, now + Duration::from_secs(1)).allowed, "looking does not count");
        assert!(limiter.check(RateClass::Default, 1, now + Duration::from_secs(1)).allowed);
    }
}

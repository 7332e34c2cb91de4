//! Which replica gets a request: the visitor's release, then the visitor's replica, then the one with the fewest requests.
//!
//! Dead replicas are found by what happens to requests (passive): a failed connect ejects at once, and a probe brings back;
//! a streak of 5xx ejects for a time that doubles. Ejected ones come last instead of never: with all of them ejected, all
//! are used.

pub mod health;
pub mod visitor;

use std::sync::Arc;

use crate::live::{Active, Claim, ReplicaLive};

/// What a request would like; a replica that is down does not get it all the same.
#[derive(Debug, Clone, Default)]
pub struct Preference {
    pub wants_canary: bool,
    /// [`ReplicaLive::token`] of the replica that served the visitor before.
    pub token: Option<u64>,
}

#[derive(Debug)]
pub enum Pick {
    Claimed(Claim),
    /// The snapshot is out of date; load it again.
    Outdated,
    /// Every replica was tried already.
    Exhausted,
}

/// Down, another release, another replica than wished, requests in flight: the least is the best.
type Rank = (bool, bool, bool, u64);

impl Active {
    /// The best replica that was not tried yet.
    pub fn pick(&self, tried: &[Arc<ReplicaLive>], turn: usize, preference: &Preference) -> Pick {
        let count = self.replicas.len();
        let mut best: Option<(&Arc<ReplicaLive>, Rank)> = None;
        for step in 0..count {
            let index = (turn + step) % count;
            let Some(replica) = self.replicas.get(index) else {
                continue;
            };
            if tried.iter().any(|earlier| Arc::ptr_eq(earlier, replica)) {
                continue;
            }
            let is_other_release = (index >= self.stable_count) != preference.wants_canary;
            let is_other_replica = preference.token.is_some_and(|token| token != replica.token);
            let rank = (replica.health.is_down(), is_other_release, is_other_replica, replica.in_flight());
            if best.is_none_or(|(_, least)| rank < least) {
                best = Some((replica, rank));
            }
        }
        match best {
            None => Pick::Exhausted,
            Some((replica, _)) => Claim::try_new(replica).map_or(Pick::Outdated, Pick::Claimed),
        }
    }
}

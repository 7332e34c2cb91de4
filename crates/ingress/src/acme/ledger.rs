//! What was asked of an authority lately, so that its limits are never reached: an account that hits them is shut for everybody.
//!
//! Limits of Let's Encrypt: 300 orders for an account in 3 hours, 5 failed validations for an account and name in an hour. We stop
//! a little before. Below a group's share no group waits for another.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub const ORDERS_MAX: usize = 280;
/// New certificates stop here; what is left is for renewals.
pub const ORDERS_NEW_MAX: usize = 220;
/// New certificates of one group.
pub const ORDERS_GROUP_MAX: usize = 60;
const ORDERS_WINDOW: TimeDelta = TimeDelta::hours(3);
pub const FAILURES_MAX: usize = 4;
const FAILURES_WINDOW: TimeDelta = TimeDelta::hours(1);

/// Of one account; persisted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ledger {
    orders: Vec<OrderMade>,
    /// By name.
    failures: HashMap<String, Vec<DateTime<Utc>>>,
    /// The authority itself said so.
    #[serde(default)]
    shut_until: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct OrderMade {
    at: DateTime<Utc>,
    group: String,
}

impl Ledger {
    /// `Err`: when an order may be made, and the limit that holds it back.
    pub fn may_order(&self, group: &str, names: &[String], is_renewal: bool, now: DateTime<Utc>) -> Result<(), (DateTime<Utc>, String)> {
        if let Some(until) = self.shut_until.filter(|until| *until > now) {
            return Err((until, "the authority refuses this account for a while".to_owned()));
        }
        let recent: Vec<_> = self.orders.iter().filter(|order| order.at > now - ORDERS_WINDOW).collect();
        let limit = if is_renewal { ORDERS_MAX } else { ORDERS_NEW_MAX };
        if let Some(at) = free_again(recent.iter().map(|order| order.at), limit, ORDERS_WINDOW) {
            return Err((at, format!("{limit} orders of this account in three hours")));
        }
        if !is_renewal {
            let own = recent.iter().filter(|order| order.group == group).map(|order| order.at);
            if let Some(at) = free_again(own, ORDERS_GROUP_MAX, ORDERS_WINDOW) {
                return Err((at, format!("{ORDERS_GROUP_MAX} new certificates of one organization in three hours")));
            }
        }
        for name in names {
            let recent = self.failures.get(name).into_iter().flatten().copied().filter(|at| *at > now - FAILURES_WINDOW);
            if let Some(at) = free_again(recent, FAILURES_MAX, FAILURES_WINDOW) {
                return Err((at, format!("{FAILURES_MAX} failed checks of {name} in an hour")));
            }
        }
        Ok(())
    }

    pub fn ordered(&mut self, group: &str, now: DateTime<Utc>) {
        self.orders.retain(|order| order.at > now - ORDERS_WINDOW);
        self.orders.push(OrderMade { at: now, group: group.to_owned() });
    }

    pub fn failed(&mut self, name: &str, now: DateTime<Utc>) {
        self.failures.retain(|_, times| times.iter().any(|at| *at > now - FAILURES_WINDOW));
        let times = self.failures.entry(name.to_owned()).or_default();
        times.retain(|at| *at > now - FAILURES_WINDOW);
        times.push(now);
    }

    pub fn shut(&mut self, until: DateTime<Utc>) {
        self.shut_until = Some(until);
    }
}

/// `None`: fewer than `limit`. Otherwise when the oldest that counts leaves the window.
fn free_again(times: impl Iterator<Item = DateTime<Utc>>, limit: usize, window: TimeDelta) -> Option<DateTime<Utc>> {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    let counting = times.len().checked_sub(limit)?;
    times.get(counting).map(|at| *at + window)
}

#[cfg(test)]
mod tests {
    use domain::Clock as _;

    use super::*;

    #[test]
    fn wrong_names_of_one_group_leave_room_for_others_and_for_renewals() {
        let start = domain::FixedClock::default().now();
        let mut ledger = Ledger::default();
        let (name, mut refused) = (vec!["x.test".to_owned()], 0);
        for second in 0..1_000 {
            let now = start + TimeDelta::seconds(second);
            match ledger.may_order("mallory", &[format!("x{second}.test")], false, now) {
                Ok(()) => ledger.ordered("mallory", now),
                Err(_) => refused += 1,
            }
        }
        assert_eq!(refused, 1_000 - ORDERS_GROUP_MAX);
        let now = start + TimeDelta::seconds(1_000);
        assert!(ledger.may_order("alice", &name, false, now).is_ok());
        assert!(ledger.may_order("mallory", &name, true, now).is_ok(), "a renewal");
        let (at, _) = ledger.may_order("mallory", &name, false, now).unwrap_err();
        assert_eq!(at, start + TimeDelta::hours(3), "the first leaves the window");
        assert!(ledger.may_order("mallory", &name, false, at).is_ok());
    }

    #[test]
    fn failed_checks_of_a_name_are_counted_for_an_hour() {
        let now = domain::FixedClock::default().now();
        let mut ledger = Ledger::default();
        for minute in 0..4 {
            ledger.failed("bad.test", now + TimeDelta::minutes(minute));
        }
        let later = now + TimeDelta::minutes(10);
        let (at, why) = ledger.may_order("g", &["good.test".to_owned(), "bad.test".to_owned()], true, later).unwrap_err();
        assert_eq!(at, now + TimeDelta::hours(1));
        assert!(why.contains("bad.test"));
        assert!(ledger.may_order("g", &["good.test".to_owned()], true, later).is_ok());
    }
}

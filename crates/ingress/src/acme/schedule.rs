//! When to renew, when to try again. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    certificate_book::CertificateRecord,
    certificates::{Failure, FailureCause, Issuance, Served},
    key_text::KeyText,
    tls::Rank,
};

/// Without a word of the authority a certificate is renewed when this part of its life is left (1/3).
const LEFT_DIVISOR: i32 = 3;
/// The renewals of certificates issued together are spread over this part of their life (1/30 before the date).
const SPREAD_DIVISOR: i32 = 30;
const BACK_OFF_FIRST: TimeDelta = TimeDelta::minutes(1);
const BACK_OFF_MAX: TimeDelta = TimeDelta::hours(12);
/// An authority that is down is asked again sooner: it is not our fault.
const BACK_OFF_DOWN_MAX: TimeDelta = TimeDelta::hours(1);
/// The next look at a renewal window when the authority did not say.
pub const WINDOW_AGAIN: TimeDelta = TimeDelta::hours(6);

/// How far an order is; persisted with the certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    pub attempts: u32,
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub last_error: Option<Failure>,
    pub renew_at: Option<DateTime<Utc>>,
    pub renew_at_is_suggested: bool,
    /// When the authority is asked for its renewal window; `None`: never (it offers none).
    pub ask_window_at: Option<DateTime<Utc>>,
    pub pending: Option<Pending>,
}

/// An order that was begun: after a crash it goes on instead of costing another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub url: String,
    pub key_pem: KeyText,
}

/// What is due for one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Nothing,
    AskWindow,
    Order,
    /// Self-signed ones are simply made again.
    SignAgain,
}

pub fn step(record: &CertificateRecord, now: DateTime<Utc>) -> Step {
    let Some(desired) = &record.desired else { return Step::Nothing };
    if record.is_ordering {
        return Step::Nothing;
    }
    let is_due = next_attempt(record, now).is_some_and(|at| at <= now);
    match desired.how {
        Issuance::Own { .. } => Step::Nothing,
        Issuance::SelfSigned if is_due => Step::SignAgain,
        Issuance::SelfSigned => Step::Nothing,
        Issuance::Acme { .. } if is_due => Step::Order,
        Issuance::Acme { .. } if record.progress.ask_window_at.is_some_and(|at| at <= now) => Step::AskWindow,
        Issuance::Acme { .. } => Step::Nothing,
    }
}

/// When the next order begins: when it is needed, but not before the back-off is over.
pub fn next_attempt(record: &CertificateRecord, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let desired = record.desired.as_ref()?;
    let needed = match &desired.how {
        Issuance::Own { .. } => return None,
        Issuance::SelfSigned => record.progress.renew_at?,
        Issuance::Acme { .. } => {
            let fits = record.served.is_some() && record.served_rank == Some(Rank::Acme) && record.served_names == desired.names;
            match record.progress.renew_at {
                Some(at) if fits => at,
                _ => now,
            }
        }
    };
    Some(record.progress.next_attempt_at.map_or(needed, |at| at.max(needed)))
}

/// A third of its life before the end, and a little earlier for each by its id.
pub fn renew_at(served: &Served, id: &str) -> DateTime<Utc> {
    let life = served.not_after - served.not_before;
    let early = (life / SPREAD_DIVISOR).num_milliseconds();
    let early = TimeDelta::milliseconds((early as f64 * fraction(id, &served.serial)) as i64);
    served.not_after - life / LEFT_DIVISOR - early
}

/// A point within the authority's window, the same for the same certificate.
pub fn within(start: DateTime<Utc>, end: DateTime<Utc>, id: &str, serial: &str) -> DateTime<Utc> {
    let length = (end - start).num_milliseconds().max(0);
    start + TimeDelta::milliseconds((length as f64 * fraction(id, serial)) as i64)
}

pub fn is_in_first_two_thirds(served: &Served, now: DateTime<Utc>) -> bool {
    now < served.not_after - (served.not_after - served.not_before) / LEFT_DIVISOR
}

/// When to try again after failure number `attempts`.
pub fn back_off(cause: FailureCause, attempts: u32, id: &str, retry_after: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    let longest = if cause == FailureCause::AuthorityDown { BACK_OFF_DOWN_MAX } else { BACK_OFF_MAX };
    let doubled = BACK_OFF_FIRST.num_milliseconds().saturating_mul(1i64 << attempts.saturating_sub(1).min(20));
    let wait = doubled.min(longest.num_milliseconds());
    let jittered = wait as f64 * (0.75 + 0.5 * fraction(id, &attempts.to_string()));
    let at = now + TimeDelta::milliseconds(jittered as i64);
    retry_after.map_or(at, |told| told.max(at))
}

/// From 0 up to 1, spread over ids: many certificates do not act in the same moment, and one does not move at each look.
fn fraction(id: &str, salt: &str) -> f64 {
    let digest = Sha256::new().chain_update(id).chain_update([0]).chain_update(salt).finalize();
    let number = digest.iter().take(6).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    number as f64 / (1u64 << 48) as f64
}

#[cfg(test)]
mod tests {
    use domain::Clock as _;

    use super::*;

    fn served(days: i64) -> Served {
        let now = domain::FixedClock::default().now();
        Served {
            not_before: now,
            not_after: now + TimeDelta::days(days),
            issuer: String::new(),
            serial: "1".to_owned(),
            fingerprint: String::new(),
            chain_length: 2,
        }
    }

    #[test]
    fn renewal_is_spread_before_the_last_third() {
        let served = served(90);
        let dates: Vec<_> = (0..100).map(|id| renew_at(&served, &format!("c{id}"))).collect();
        let latest = served.not_after - TimeDelta::days(30);
        assert!(dates.iter().all(|date| *date <= latest && *date >= latest - TimeDelta::days(3)));
        let hours = |date: &DateTime<Utc>| (*date - served.not_before).num_hours();
        let distinct: std::collections::HashSet<_> = dates.iter().map(hours).collect();
        assert!(distinct.len() > 40, "{}", distinct.len());
        assert_eq!(renew_at(&served, "c1"), renew_at(&served, "c1"), "the date does not wander");
    }

    #[test]
    fn back_off_grows_and_is_bounded() {
        let now = domain::FixedClock::default().now();
        let wait = |cause, attempts| (back_off(cause, attempts, "c1", None, now) - now).num_seconds();
        assert!((45..=75).contains(&wait(FailureCause::Dns, 1)));
        assert!(wait(FailureCause::Dns, 6) > wait(FailureCause::Dns, 3));
        assert!(wait(FailureCause::Dns, 99) <= 12 * 3600 * 5 / 4);
        assert!(wait(FailureCause::AuthorityDown, 99) <= 3600 * 5 / 4);
        let told = now + TimeDelta::days(2);
        assert_eq!(back_off(FailureCause::RateLimited, 1, "c1", Some(told), now), told);
    }

    #[test]
    fn the_window_of_the_authority_is_kept() {
        let served = served(90);
        let (start, end) = (served.not_before, served.not_before + TimeDelta::days(2));
        let at = within(start, end, "c1", "1");
        assert!(start <= at && at < end);
        assert_eq!(within(start, start, "c1", "1"), start);
    }

    #[test]
    fn what_is_due() {
        let now = domain::FixedClock::default().now();
        let desired =
            r#"{"id":"c1","generation":1,"names":["a.test"],"how":{"kind":"acme","account":"le","challenge":{"kind":"http-01"}}}"#;
        let mut record: CertificateRecord =
            serde_json::from_str(&format!(r#"{{"generation":1,"desired":{desired},"served":null}}"#)).unwrap();
        assert_eq!(step(&record, now), Step::Order);
        record.progress.next_attempt_at = Some(now + TimeDelta::minutes(1));
        assert_eq!(step(&record, now), Step::Nothing);
        record.served = Some(served(90));
        record.served_names = vec!["a.test".to_owned()];
        record.served_rank = Some(Rank::Acme);
        record.progress = Progress { renew_at: Some(now + TimeDelta::days(60)), ask_window_at: Some(now), ..Progress::default() };
        assert_eq!(step(&record, now), Step::AskWindow);
        assert_eq!(step(&record, now + TimeDelta::days(60)), Step::Order);
        record.desired.as_mut().unwrap().names.push("b.test".to_owned());
        assert_eq!(step(&record, now), Step::Order, "a name was added");
        record.is_ordering = true;
        assert_eq!(step(&record, now), Step::Nothing);
    }
}

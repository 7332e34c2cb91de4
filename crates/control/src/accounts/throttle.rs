//! Slowing down those who guess: per address that is tried, per source network, and over all.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::UserId;
use store::throttles;

use crate::Control;
use crate::access::Origin;
use crate::error::{ControlError, Result};

/// From this failure in a row on, an address waits; each further failure doubles the wait.
pub const FAILURES_BEFORE_DELAY: i64 = 5;
const DELAY_FIRST_SECONDS: i64 = 1;
/// The owner of an account is never kept out for longer by somebody else's guesses.
pub const DELAY_MAX: TimeDelta = TimeDelta::minutes(15);
/// Failures of one network (/32, /64) within [`SOURCE_WINDOW`].
pub const SOURCE_FAILURES_MAX: u32 = 30;
const SOURCE_WINDOW: TimeDelta = TimeDelta::minutes(10);
/// Failures over all within a minute: a wide attack slows everybody who has no session yet.
const GLOBAL_FAILURES_MAX: u32 = 600;
const GLOBAL_WINDOW: TimeDelta = TimeDelta::minutes(1);

impl Control {
    pub(super) fn throttle_key(&self, email: &str) -> [u8; 32] {
        self.signer().sign("log-in throttle", store::users::email_key(email).as_bytes())
    }

    /// # Errors
    /// `RateLimited` while the address, the source or everybody has to wait.
    pub(super) async fn check_throttle(&self, key: &[u8; 32], origin: &Origin) -> Result<()> {
        let now = self.clock().now();
        let limited = |until: DateTime<Utc>| {
            let seconds = u64::try_from((until - now).num_seconds()).unwrap_or(0).saturating_add(1);
            ControlError::RateLimited { policy: "login", retry_after_seconds: seconds }
        };
        for (bucket, most) in [(self.source_key(origin), SOURCE_FAILURES_MAX), (self.global_key(), GLOBAL_FAILURES_MAX)] {
            let (count, ends) = self.windows().look(&bucket, now);
            if count >= most {
                return Err(limited(ends));
            }
        }
        match throttles::find(&mut self.store().read().await?, key).await? {
            Some(row) if row.blocked_until > now => Err(limited(row.blocked_until)),
            _ => Ok(()),
        }
    }

    /// Counts a failure everywhere, and writes it into the audit log.
    pub(super) async fn note_failure(&self, key: &[u8; 32], user: Option<UserId>, origin: &Origin, action: &'static str) -> Result<()> {
        let now = self.clock().now();
        self.windows().count(self.source_key(origin), SOURCE_WINDOW, now);
        self.windows().count(self.global_key(), GLOBAL_WINDOW, now);
        let mut write = self.store().write().await?;
        let failures = throttles::fail(&mut write, key, now).await?;
        if let Some(delay) = delay_after(failures) {
            throttles::block(&mut write, key, now + delay).await?;
        }
        self.record_visitor(user, origin, action).append(&mut write).await?;
        write.commit().await?;
        Ok(())
    }

    fn source_key(&self, origin: &Origin) -> [u8; 32] {
        let source = match origin.address {
            Some(IpAddr::V4(address)) => address.to_string(),
            Some(IpAddr::V6(address)) => format!("{:x}", address.to_bits() >> 64),
            None => String::new(),
        };
        self.signer().sign("log-in source", source.as_bytes())
    }

    fn global_key(&self) -> [u8; 32] {
        self.signer().sign("log-in global", b"")
    }
}

/// 1 s after the fifth failure, then doubled.
fn delay_after(failures: i64) -> Option<TimeDelta> {
    let over = failures.checked_sub(FAILURES_BEFORE_DELAY)?;
    if over < 0 {
        return None;
    }
    let power = u32::try_from(over).unwrap_or(u32::MAX).min(30);
    let seconds = DELAY_FIRST_SECONDS.checked_shl(power)?;
    Some(TimeDelta::seconds(seconds).min(DELAY_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_the_fifth_failure_to_its_bound() {
        assert_eq!(delay_after(4), None);
        assert_eq!(delay_after(5), Some(TimeDelta::seconds(1)));
        assert_eq!(delay_after(8), Some(TimeDelta::seconds(8)));
        assert_eq!(delay_after(40), Some(DELAY_MAX));
        assert_eq!(delay_after(i64::MAX), Some(DELAY_MAX));
    }
}

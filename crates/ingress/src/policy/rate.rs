//! Rate limits: the generic cell rate algorithm, one number for each client, bounded in memory.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
};

use tokio::time::Instant;

use super::address::counted;
use crate::routes::policy::{RateLimit, RatePer};

/// Clients remembered for one service. Above it, those that are not known yet share one allowance.
pub const CLIENTS_MAX: usize = 20_000;
const EVERYBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);

/// When each client's allowance is whole again, in microseconds since the first request. Lives as long as the service.
#[derive(Debug, Default)]
pub struct Rates {
    whole_at: Mutex<HashMap<(usize, IpAddr), u64>>,
    since: std::sync::OnceLock<Instant>,
}

impl Rates {
    /// Takes one request from every limit, or answers the seconds after which the strictest would let it in (at least 1).
    pub fn take(&self, limits: &[RateLimit], client: IpAddr, now: Instant) -> Result<(), u32> {
        let now_us = micros(now.saturating_duration_since(*self.since.get_or_init(|| now)));
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wait_us = 0;
        let mut next = Vec::with_capacity(limits.len());
        for (index, limit) in limits.iter().enumerate() {
            let address = if limit.per == RatePer::Client { counted(client) } else { EVERYBODY };
            let mut key = (index, address);
            if !whole_at.contains_key(&key) && whole_at.len() >= CLIENTS_MAX {
                whole_at.retain(|_, whole| *whole > now_us);
                if whole_at.len() >= CLIENTS_MAX {
                    key = (index, OTHERS);
                }
            }
            let burst = if limit.burst == 0 { limit.requests } else { limit.burst };
            let each_us = (u64::from(limit.period_seconds) * 1_000_000 / u64::from(limit.requests.max(1))).max(1);
            let whole = whole_at.get(&key).copied().unwrap_or(0).max(now_us) + each_us;
            let allowed = now_us + each_us * u64::from(burst.max(1));
            if whole > allowed {
                wait_us = wait_us.max(whole - allowed);
            }
            next.push((key, whole));
        }
        if wait_us > 0 {
            return Err(u32::try_from(wait_us.div_ceil(1_000_000)).unwrap_or(u32::MAX).max(1));
        }
        whole_at.extend(next);
        Ok(())
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limit(per: RatePer, requests: u32, period_seconds: u32, burst: u32) -> RateLimit {
        RateLimit { per, requests, period_seconds, burst }
    }

    #[test]
    fn a_burst_then_an_even_flow() {
        let (rates, begin) = (Rates::default(), Instant::now());
        let limits = [limit(RatePer::Client, 10, 10, 3)];
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..3 {
            assert_eq!(rates.take(&limits, a, begin), Ok(()));
        }
        assert_eq!(rates.take(&limits, a, begin), Err(1));
        assert_eq!(rates.take(&limits, b, begin), Ok(()), "another client has its own");
        assert_eq!(rates.take(&limits, a, begin + Duration::from_millis(1_001)), Ok(()));
        assert_eq!(rates.take(&limits, a, begin + Duration::from_millis(1_002)), Err(1));
        let passed = (0..1_000).filter(|step| rates.take(&limits, a, begin + Duration::from_millis(2_000 + step * 20)).is_ok()).count();
        assert!((20..=23).contains(&passed), "one a second over twenty seconds: {passed}");
    }

    #[test]
    fn the_route_s_limit_counts_everybody_and_a_refusal_takes_nothing() {
        let (rates, now) = (Rates::default(), Instant::now());
        let limits = [limit(RatePer::Client, 1, 3_600, 0), limit(RatePer::Route, 5, 60, 0)];
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        assert_eq!(rates.take(&limits, address(1), now), Ok(()));
        assert_eq!(rates.take(&limits, address(1), now), Err(3_600));
        for last in 2..=5 {
            assert_eq!(rates.take(&limits, address(last), now), Ok(()), "the refused one took nothing from the route");
        }
        assert_eq!(rates.take(&limits, address(6), now), Err(12));
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let only = [limit(RatePer::Client, 1, 60, 0)];
        assert_eq!((rates.take(&only, six, now).is_ok(), rates.take(&only, neighbour, now).is_ok()), (true, false));
    }

    #[test]
    fn memory_is_bounded_and_strangers_share() {
        let (rates, now) = (Rates::default(), Instant::now());
        let limits = [limit(RatePer::Client, 2, 60, 0)];
        for number in 0..CLIENTS_MAX as u32 + 500 {
            let _taken = rates.take(&limits, IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(rates.whole_at.lock().unwrap().len() <= CLIENTS_MAX + 1);
        assert!(rates.take(&limits, IpAddr::from([250, 0, 0, 1]), now).is_err(), "their common allowance is used up");
        assert!(rates.take(&limits, IpAddr::from([250, 0, 0, 1]), now + Duration::from_secs(120)).is_ok());
    }
}

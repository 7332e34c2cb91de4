//! Which release and which replica a visitor gets, and the cookies that make the choice stick.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Preference;
use crate::{
    live::Active,
    policy::compiled::{cookie, set_cookie},
};

/// Stands for a visitor of a service with a canary.
pub const VISITOR_COOKIE: &str = "seaway-visitor";
const VISITOR_MAX_AGE_SECONDS: u32 = 30 * 24 * 3_600;
const VISITOR_BYTES_MAX: usize = 128;

/// What a request would like, and the cookie that is new for its visitor. `fresh` names a visitor that comes without one.
pub fn preference(
    active: &Active,
    headers: &HeaderMap,
    fresh: &HeaderValue,
    is_secure: bool,
) -> (Preference, Option<(HeaderName, HeaderValue)>) {
    let mut preference = Preference::default();
    let mut new_cookie = None;
    let Some(route) = &active.route else {
        return (preference, None);
    };
    if let Some(canary) = &route.canary {
        let own = canary.visitor_cookie.as_deref().and_then(|name| cookie(headers, name)).filter(|own| is_usable(own));
        let known = own.or_else(|| cookie(headers, VISITOR_COOKIE).filter(|known| is_usable(known)));
        let fresh = fresh.to_str().unwrap_or("none");
        let visitor = known.unwrap_or(fresh);
        let is_listed = own.is_some_and(|own| canary.visitors.iter().any(|listed| listed == own));
        preference.wants_canary = is_listed || share_of(&route.service, visitor) < canary.weight_permille;
        if known.is_none() {
            new_cookie = set_cookie(VISITOR_COOKIE, visitor, Some(VISITOR_MAX_AGE_SECONDS), is_secure);
        }
    }
    if let Some(sticky) = &route.policy.sticky {
        preference.token = cookie(headers, &sticky.cookie).and_then(|text| u64::from_str_radix(text, 16).ok());
    }
    (preference, new_cookie)
}

/// The cookie that leads a visitor back to this replica; `None` where it is not wanted or there already.
pub fn sticky_cookie(active: &Active, asked: &Preference, token: u64, is_secure: bool) -> Option<(HeaderName, HeaderValue)> {
    let sticky = active.route.as_ref()?.policy.sticky.as_ref()?;
    if asked.token == Some(token) {
        return None;
    }
    set_cookie(&sticky.cookie, &format!("{token:016x}"), sticky.max_age_seconds, is_secure)
}

/// 0 to 999, even over visitors and the same for one visitor as long as the service lives.
fn share_of(service: &str, visitor: &str) -> u16 {
    let hash = hash(&[service, visitor]);
    u16::try_from(hash % 1_000).unwrap_or(0)
}

/// The first eight bytes of a SHA-256 over the parts.
pub fn hash(parts: &[&str]) -> u64 {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let bytes: [u8; 32] = digest.finalize().into();
    bytes.first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
}

fn is_usable(visitor: &str) -> bool {
    !visitor.is_empty() && visitor.len() <= VISITOR_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_visitors_and_a_larger_one_keeps_them() {
        let visitors: Vec<String> = (0..10_000).map(|number| format!("user-{number}")).collect();
        let chosen = |weight: u16| visitors.iter().filter(|visitor| share_of("svc", visitor) < weight).collect::<Vec<_>>();
        let (ten, fifty) = (chosen(100), chosen(500));
        assert!((900..1_100).contains(&ten.len()), "{}", ten.len());
        assert!(ten.iter().all(|visitor| fifty.contains(visitor)));
        assert_eq!((chosen(0).len(), chosen(1_000).len()), (0, 10_000));
    }
}

//! Request ids: UUIDv7-shaped, sortable by time, unique without a system call per request. They are no secrets.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::Entropy;
use http::HeaderValue;

/// Longest id taken over from a trusted proxy.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

#[derive(Debug)]
pub struct RequestIds {
    seed: u64,
    counter: AtomicU64,
}

impl RequestIds {
    pub fn new(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0u8; 16];
        entropy.fill(&mut bytes);
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Self { seed: u64::from_le_bytes([a, b, c, d, e, f, g, h]), counter: AtomicU64::new(u64::from_le_bytes([i, j, k, l, m, n, o, p])) }
    }

    pub fn next(&self, now_ms: i64) -> HeaderValue {
        let count = self.counter.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let (high, low) = (mix(count ^ self.seed), mix(count.rotate_left(32) ^ self.seed.rotate_left(17)));
        let mut bytes = [0u8; 16];
        let time = now_ms.to_be_bytes();
        let random = high.to_be_bytes().into_iter().chain(low.to_be_bytes());
        for (place, byte) in bytes.iter_mut().zip(time.into_iter().skip(2).chain(random)) {
            *place = byte;
        }
        let id = uuid::Builder::from_random_bytes(bytes).with_version(uuid::Version::SortRand).into_uuid();
        let mut text = [0u8; uuid::fmt::Hyphenated::LENGTH];
        let text = id.hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none"))
    }
}

/// `true` for an id that may be taken over: short, and of characters that are harmless in every log.
pub fn is_acceptable(id: &HeaderValue) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=' | b'+' | b'/' | b':');
    !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.as_bytes().iter().all(is_plain)
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_sorted_by_time_and_version_7() {
        let ids = RequestIds::new(&domain::SeededEntropy::new(1));
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            let id = ids.next(1_793_491_200_000);
            assert_eq!(id.as_bytes()[14], b'7');
            assert!(is_acceptable(&id));
            assert!(seen.insert(id));
        }
        let (early, late) = (ids.next(1_793_491_200_000), ids.next(1_793_491_200_001));
        assert!(early.as_bytes() < late.as_bytes());
    }
}

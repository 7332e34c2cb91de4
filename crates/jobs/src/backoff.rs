//! How long to wait before the next attempt: doubling, capped, with jitter so that a herd spreads out.

use std::time::Duration;

use domain::Entropy;

pub const RETRY_DELAY_FIRST: Duration = Duration::from_secs(1);
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(300);

/// The pause after the given number of failed attempts before this one: between half and the whole of 1 s × 2ⁿ.
pub(crate) fn delay(attempt: u32, entropy: &dyn Entropy) -> Duration {
    let whole = RETRY_DELAY_FIRST.saturating_mul(1u32.checked_shl(attempt.min(31)).unwrap_or(u32::MAX)).min(RETRY_DELAY_MAX);
    let mut random = [0u8; 2];
    entropy.fill(&mut random);
    let half = whole / 2;
    half + half * u32::from(u16::from_le_bytes(random)) / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::SeededEntropy;

    #[test]
    fn delays_double_up_to_a_cap_and_differ() {
        let entropy = SeededEntropy::new(1);
        for (attempt, whole) in [(0, 1), (1, 2), (2, 4), (8, 256), (9, 300), (31, 300), (4_000, 300)] {
            let whole = Duration::from_secs(whole);
            for _ in 0..50 {
                let delay = delay(attempt, &entropy);
                assert!(delay >= whole / 2 && delay <= whole, "{attempt}: {delay:?}");
            }
        }
        assert_ne!(delay(5, &entropy), delay(5, &entropy));
    }
}

//! Latencies in fixed buckets: four for each doubling, from 256 µs to 67 s. Two histograms can be added and subtracted, and
//! a bucket is at most a fifth wider than its lower neighbour says, so a quantile is exact enough for every decision here.

use serde::{Deserialize, Serialize};

/// Below 256 µs, 18 doublings of four buckets, and above.
pub const BUCKETS: usize = 74;
const FIRST_BITS: u32 = 8;
const DOUBLINGS: u32 = 18;

/// The bucket of a latency.
pub fn bucket_of(latency_us: u64) -> usize {
    if latency_us < 1 << FIRST_BITS {
        return 0;
    }
    let doubling = latency_us.ilog2();
    if doubling >= FIRST_BITS + DOUBLINGS {
        return BUCKETS - 1;
    }
    let quarter = (latency_us >> (doubling - 2)) & 3;
    1 + ((doubling - FIRST_BITS) * 4) as usize + quarter as usize
}

/// Upper bound of a bucket, exclusive; `None` for the last one, which has none.
pub fn bucket_end_us(bucket: usize) -> Option<u64> {
    match bucket {
        0 => Some(1 << FIRST_BITS),
        bucket if bucket >= BUCKETS - 1 => None,
        bucket => {
            let (doubling, quarter) = ((bucket - 1) / 4, (bucket - 1) % 4);
            Some((5 + quarter as u64) << (FIRST_BITS as usize + doubling - 2))
        }
    }
}

/// Counts by bucket, as sent over the wire: trailing zeros may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Latencies {
    counts: Vec<u64>,
}

impl Latencies {
    /// More than [`BUCKETS`] are cut.
    pub fn from_counts(counts: impl IntoIterator<Item = u64>) -> Self {
        let mut counts: Vec<u64> = counts.into_iter().take(BUCKETS).collect();
        while counts.last() == Some(&0) {
            counts.pop();
        }
        Self { counts }
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// What came since `earlier`, a reading of the same counters.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bucket: usize| earlier.counts.get(bucket).copied().unwrap_or(0);
        Self::from_counts(self.counts.iter().enumerate().map(|(bucket, count)| count.saturating_sub(before(bucket))))
    }

    /// The end of the bucket in which the quantile lies (0 < `quantile` ≤ 1); `None` without any count.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        let rank = ((quantile.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total);
        let mut sum = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            sum += count;
            if sum >= rank {
                return Some(bucket_end_us(bucket).unwrap_or(u64::MAX));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_lies_in_its_bucket() {
        let mut before = 0;
        for latency_us in (0..20_000).chain((20_000..100_000_000).step_by(9_973)) {
            let bucket = bucket_of(latency_us);
            assert!(bucket >= before, "buckets follow the latencies");
            before = bucket;
            assert!(bucket_end_us(bucket).is_none_or(|end| latency_us < end), "{latency_us} in {bucket}");
            assert!(bucket == 0 || bucket_end_us(bucket - 1).unwrap() <= latency_us, "{latency_us} in {bucket}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket_of((1 << 26) - 1), BUCKETS - 2);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_list_within_a_bucket() {
        let latencies: Vec<u64> = (1..=1_000).map(|number| number * 100).collect();
        let mut counts = [0; BUCKETS];
        for latency in &latencies {
            counts[bucket_of(*latency)] += 1;
        }
        let histogram = Latencies::from_counts(counts);
        for (quantile, exact) in [(0.5, 50_000), (0.95, 95_000), (0.99, 99_000), (1.0, 100_000)] {
            let found = histogram.quantile_us(quantile).unwrap();
            assert!(found >= exact && found <= exact + exact / 4 + 1, "{quantile}: {found} for {exact}");
        }
        assert_eq!(Latencies::default().quantile_us(0.95), None);
        assert_eq!(histogram.since(&histogram).count(), 0);
        assert_eq!(histogram.since(&Latencies::default()), histogram);
    }
}

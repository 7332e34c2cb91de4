//! Whether a new release may go on, judged by its traffic beside that of the old one. Pure: the caller reads the counters.

use serde::{Deserialize, Serialize};

use crate::latency::Latencies;

/// What was seen of one release during the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    pub requests: u64,
    /// Answers 5xx, those that the ingress made for a dead replica included.
    pub errors: u64,
    pub latencies: Latencies,
}

/// What counts as worse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Margins {
    /// Fewer requests than this say nothing; the old release needs as many to be compared with.
    pub requests_min: u64,
    /// Errors of 1000 requests that the new release may have more than the old one.
    pub errors_permille: u64,
    /// The p95 may be this much of the old one, in percent (120: a fifth more) …
    pub p95_percent: u64,
    /// … and is not looked at as long as it is this little more.
    pub p95_slack_ms: u64,
}

impl Default for Margins {
    fn default() -> Self {
        Self { requests_min: 100, errors_permille: 10, p95_percent: 125, p95_slack_ms: 20 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Too little traffic to tell; wait on, or let the bake time end.
    TooFew {
        requests: u64,
        wanted: u64,
    },
    Fine,
    Worse(Reason),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error(
        "{new_permille} of 1000 requests failed on the new release, {old_permille} on the old one; {allowed_permille} more are allowed"
    )]
    Errors { new_permille: u64, old_permille: u64, allowed_permille: u64 },
    #[error("the p95 of the new release is {new_ms} ms, that of the old one {old_ms} ms; up to {allowed_ms} ms is allowed")]
    Slow { new_ms: u64, old_ms: u64, allowed_ms: u64 },
}

/// Errors are judged first. Without enough traffic on the old release a new one is compared with one that has no errors,
/// and its latency is not judged.
pub fn judge(new: &Sample, old: &Sample, margins: &Margins) -> Judgement {
    let wanted = margins.requests_min.max(1);
    // Enough failures to be over the margin even if every missing request of the sample went well.
    let is_hopeless = new.errors * 1_000 > wanted.saturating_mul(margins.errors_permille) * 2 && new.errors * 2 > new.requests;
    if new.requests < wanted && !is_hopeless {
        return Judgement::TooFew { requests: new.requests, wanted };
    }
    let is_comparable = old.requests >= wanted;
    let permille = |sample: &Sample| sample.errors.saturating_mul(1_000) / sample.requests.max(1);
    let (new_permille, old_permille) = (permille(new), if is_comparable { permille(old) } else { 0 });
    if new_permille > old_permille + margins.errors_permille {
        return Judgement::Worse(Reason::Errors { new_permille, old_permille, allowed_permille: margins.errors_permille });
    }
    if is_comparable && let (Some(new_us), Some(old_us)) = (new.latencies.quantile_us(0.95), old.latencies.quantile_us(0.95)) {
        let by_percent = u128::from(old_us) * u128::from(margins.p95_percent) / 100;
        let by_slack = u128::from(old_us) + u128::from(margins.p95_slack_ms) * 1_000;
        let allowed_us = u64::try_from(by_percent.max(by_slack)).unwrap_or(u64::MAX);
        if new_us > allowed_us {
            return Judgement::Worse(Reason::Slow { new_ms: new_us / 1_000, old_ms: old_us / 1_000, allowed_ms: allowed_us / 1_000 });
        }
    }
    Judgement::Fine
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::{BUCKETS, bucket_of};

    fn sample(requests: u64, errors: u64, latency_ms: u64) -> Sample {
        let mut counts = [0; BUCKETS];
        counts[bucket_of(latency_ms * 1_000)] = requests;
        Sample { requests, errors, latencies: Latencies::from_counts(counts) }
    }

    #[test]
    fn table() {
        let margins = Margins::default();
        for (what, new, old, wanted) in [
            ("nothing yet", sample(0, 0, 0), sample(1_000, 0, 10), "few"),
            ("one request short", sample(99, 5, 10), sample(1_000, 0, 10), "few"),
            ("few, but nearly all fail", sample(20, 19, 10), sample(1_000, 0, 10), "errors"),
            ("one bad request is no proof", sample(1, 1, 10), sample(1_000, 0, 10), "few"),
            ("as good", sample(100, 0, 10), sample(1_000, 0, 10), "fine"),
            ("at the margin", sample(1_000, 10, 10), sample(1_000, 0, 10), "fine"),
            ("over the margin", sample(1_000, 11, 10), sample(1_000, 0, 10), "errors"),
            ("as bad as before", sample(1_000, 300, 10), sample(1_000, 300, 10), "fine"),
            ("better than before", sample(1_000, 0, 10), sample(1_000, 300, 200), "fine"),
            ("no old traffic, errors", sample(1_000, 20, 10), sample(5, 5, 10), "errors"),
            ("no old traffic, slow", sample(1_000, 0, 5_000), sample(5, 0, 10), "fine"),
            ("slower within the slack", sample(1_000, 0, 25), sample(1_000, 0, 10), "fine"),
            ("twice as slow", sample(1_000, 0, 400), sample(1_000, 0, 200), "slow"),
            ("a tenth slower", sample(1_000, 0, 215), sample(1_000, 0, 200), "fine"),
            ("slow and failing: errors are named", sample(1_000, 500, 900), sample(1_000, 0, 10), "errors"),
        ] {
            let found = match judge(&new, &old, &margins) {
                Judgement::TooFew { .. } => "few",
                Judgement::Fine => "fine",
                Judgement::Worse(Reason::Errors { .. }) => "errors",
                Judgement::Worse(Reason::Slow { .. }) => "slow",
            };
            assert_eq!(found, wanted, "{what}");
        }
    }

    #[test]
    fn nothing_overflows_and_a_release_is_never_worse_than_itself() {
        let most = Sample { requests: u64::MAX / 1_000, errors: u64::MAX / 1_000_000, latencies: Latencies::from_counts([1; BUCKETS]) };
        assert_eq!(judge(&most, &most, &Margins::default()), Judgement::Fine);
    }
}

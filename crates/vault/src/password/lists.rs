//! The shipped lists of breached and common passwords, as sorted four-byte prefixes of SHA-256. Contents, sources, licences
//! and the rate of false positives: `crates/vault/data/README.md`.

use sha2::{Digest, Sha256};

const PREFIX_LENGTH: usize = 4;

/// Passwords of 15 characters and more that were seen in breaches.
const BREACHED_LONG: &[u8] = include_bytes!("../../data/breached_long.bin");
/// The most common passwords of any length.
const COMMON: &[u8] = include_bytes!("../../data/common.bin");

/// Whether a text (NFKC, lower case) is a known breached password.
pub(super) fn is_breached(text: &str) -> bool {
    contains(BREACHED_LONG, text) || contains(COMMON, text)
}

/// Whether a text (NFKC, lower case) is one of the most common passwords; most are words and names.
pub(super) fn is_common(text: &str) -> bool {
    contains(COMMON, text)
}

fn contains(list: &[u8], text: &str) -> bool {
    let digest = Sha256::digest(text.as_bytes());
    let (prefixes, _) = list.as_chunks::<PREFIX_LENGTH>();
    digest.first_chunk::<PREFIX_LENGTH>().is_some_and(|prefix| prefixes.binary_search(prefix).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_whole_and_sorted() {
        for (list, entries_min) in [(BREACHED_LONG, 300_000), (COMMON, 19_000)] {
            assert_eq!(list.len() % PREFIX_LENGTH, 0);
            let (prefixes, _) = list.as_chunks::<PREFIX_LENGTH>();
            assert!(prefixes.len() > entries_min);
            assert!(prefixes.is_sorted_by(|one, next| one < next));
        }
    }

    #[test]
    fn known_entries_are_found() {
        for text in ["passwordpassword", "1234567890123456", "iloveyouforever1", "qwertyuiopasdfgh"] {
            assert!(contains(BREACHED_LONG, text), "{text}");
        }
        for text in ["password", "sunshine", "letmein"] {
            assert!(is_common(text), "{text}");
        }
    }

    #[test]
    fn false_positives_are_as_rare_as_stated() {
        let hits = (0..100_000).filter(|number| is_breached(&format!("never seen anywhere {number}"))).count();
        assert!(hits < 40, "{hits} of 100,000; about 8 expected");
    }
}

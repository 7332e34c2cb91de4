//! Six-digit codes that people copy from a mail. A million possibilities are no secret against a stolen database or many
//! attempts: the stored form is keyed, and the caller limits attempts and time.

use domain::{Entropy, Secret};

use super::Digest;
use crate::{Signer, aead};

pub const CODE_DIGITS: usize = 6;
const CODES: u32 = 1_000_000;
const PURPOSE: &str = "six-digit code";

/// A new code.
#[derive(Debug)]
pub struct Code {
    pub text: Secret<String>,
}

impl Code {
    pub fn generate(entropy: &dyn Entropy) -> Self {
        // The largest multiple of a million: above it a draw is repeated, so that all codes are equally likely.
        let limit = u32::MAX - u32::MAX % CODES;
        let number = loop {
            let draw = u32::from_le_bytes(aead::random::<4>(entropy));
            if draw < limit {
                break draw % CODES;
            }
        };
        Self { text: Secret::new(format!("{number:06}")) }
    }

    /// The stored form of a code, bound to what it is for (an id of the account and the action).
    pub fn digest(&self, signer: &Signer, subject: &[u8]) -> Digest {
        keyed(signer, subject, self.text.reveal())
    }

    /// The stored form of a code that somebody typed, spaces and a dash removed; `None` if it is not six digits.
    pub fn digest_of(presented: &str, signer: &Signer, subject: &[u8]) -> Option<Digest> {
        let digits: String = presented.chars().filter(|character| !matches!(character, ' ' | '-')).collect();
        let is_code = digits.len() == CODE_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_code.then(|| keyed(signer, subject, &digits))
    }
}

fn keyed(signer: &Signer, subject: &[u8], digits: &str) -> Digest {
    // The digits come first and always have the same length: subject and code cannot be confused.
    Digest(signer.sign(PURPOSE, &[digits.as_bytes(), subject].concat()))
}

#[cfg(test)]
mod tests {
    use domain::SeededEntropy;

    use super::*;

    #[test]
    fn a_typed_code_matches_for_its_subject_only() {
        let signer = Signer::new(Secret::new([1; 32]));
        let code = Code::generate(&SeededEntropy::new(1));
        let text = code.text.reveal();
        let stored = code.digest(&signer, b"usr_1");
        assert!(Code::digest_of(text, &signer, b"usr_1").unwrap().matches(&stored));
        let spaced = format!(" {}-{} ", &text[..3], &text[3..]);
        assert!(Code::digest_of(&spaced, &signer, b"usr_1").unwrap().matches(&stored));
        assert!(!Code::digest_of(text, &signer, b"usr_2").unwrap().matches(&stored));
        assert!(!Code::digest_of(text, &Signer::new(Secret::new([2; 32])), b"usr_1").unwrap().matches(&stored));
        for junk in ["", "12345", "1234567", "12345a", "１２３４５６"] {
            assert!(Code::digest_of(junk, &signer, b"usr_1").is_none(), "{junk}");
        }
    }

    #[test]
    fn codes_always_have_six_digits_and_use_the_whole_range() {
        let entropy = SeededEntropy::new(5);
        let codes: Vec<String> = (0..5_000).map(|_| Code::generate(&entropy).text.reveal().clone()).collect();
        assert!(codes.iter().all(|code| code.len() == CODE_DIGITS && code.bytes().all(|byte| byte.is_ascii_digit())));
        for first in '0'..='9' {
            let count = codes.iter().filter(|code| code.starts_with(first)).count();
            assert!((400..600).contains(&count), "{count} codes start with {first}");
        }
    }
}

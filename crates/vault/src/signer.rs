//! HMAC-SHA256 over short texts (cursors, codes), and the one way to compare secrets.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::aead::{KEY_LENGTH, Key};
use domain::Secret;

/// Half of the HMAC, as long as a UUID: enough for a text that only has to be unforgeable.
const TAG_LENGTH: usize = 16;
/// The longest text [`Signer::open`] looks at.
const TEXT_LENGTH_MAX: usize = 4096;

/// Signs byte strings. Every signature is for one purpose; what was signed for another does not verify.
#[derive(Clone)]
pub struct Signer(Key);

impl Signer {
    pub fn new(key: Secret<[u8; KEY_LENGTH]>) -> Self {
        Self(key)
    }

    /// HMAC-SHA256 of purpose and message.
    pub fn sign(&self, purpose: &str, message: &[u8]) -> [u8; 32] {
        self.mac(purpose, message).map_or([0; 32], |mac| mac.finalize().into_bytes().into())
    }

    /// Whether `signature` is the full signature of the message, in constant time.
    pub fn verify(&self, purpose: &str, message: &[u8], signature: &[u8]) -> bool {
        self.mac(purpose, message).is_some_and(|mac| mac.verify_slice(signature).is_ok())
    }

    /// An opaque text (base64url) that carries `message` and its signature; readable, but not forgeable.
    pub fn seal(&self, purpose: &str, message: &[u8]) -> String {
        let mut bytes = message.to_vec();
        bytes.extend(self.sign(purpose, message).into_iter().take(TAG_LENGTH));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The message of such a text; `None` if it was not made by this signer for this purpose.
    pub fn open(&self, purpose: &str, text: &str) -> Option<Vec<u8>> {
        if text.len() > TEXT_LENGTH_MAX {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let tag = bytes.split_off(bytes.len().checked_sub(TAG_LENGTH)?);
        self.mac(purpose, &bytes)?.verify_truncated_left(&tag).ok()?;
        Some(bytes)
    }

    fn mac(&self, purpose: &str, message: &[u8]) -> Option<Hmac<Sha256>> {
        // HMAC takes keys of any length: never None.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.reveal()).ok()?;
        mac.update(&u64::try_from(purpose.len()).unwrap_or(u64::MAX).to_be_bytes());
        mac.update(purpose.as_bytes());
        mac.update(message);
        Some(mac)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Signer")
    }
}

/// Compares two byte strings in a time that depends on their lengths only.
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_purpose_and_text_verify() {
        let signer = Signer::new(Secret::new([1; 32]));
        let text = signer.seal("cursor", b"2026-11-01|svc");
        assert_eq!(signer.open("cursor", &text).unwrap(), b"2026-11-01|svc");
        assert_eq!(signer.open("other", &text), None);
        assert_eq!(Signer::new(Secret::new([2; 32])).open("cursor", &text), None);
        for place in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(signer.open("cursor", &String::from_utf8(changed).unwrap()), None, "character {place}");
        }
        for junk in ["", "AAAA", "not base64!", &"A".repeat(5000)] {
            assert_eq!(signer.open("cursor", junk), None);
        }
        let signature = signer.sign("cursor", b"m");
        assert!(signer.verify("cursor", b"m", &signature));
        assert!(!signer.verify("cursor", b"m", &signature[..16]));
        assert!(!signer.verify("cursor", b"n", &signature));
    }

    #[test]
    fn comparison_tells_equal_from_different() {
        assert!(constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd"));
        assert!(!constant_time_eq(b"abc", b"abcd"));
        assert!(constant_time_eq(b"", b""));
    }
}

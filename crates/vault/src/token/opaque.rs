//! Opaque tokens for sessions, links, invitations and the setup link: 256 random bits in base64url.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Entropy, Secret};
use zeroize::Zeroizing;

use super::Digest;
use crate::aead;

const RANDOM_LENGTH: usize = 32;

/// A new token: the text goes out once, the digest is stored.
#[derive(Debug)]
pub struct OpaqueToken {
    pub text: Secret<String>,
    pub digest: Digest,
}

impl OpaqueToken {
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let random = Zeroizing::new(aead::random::<RANDOM_LENGTH>(entropy));
        let text = URL_SAFE_NO_PAD.encode(random.as_slice());
        let digest = Digest::of(&text);
        Self { text: Secret::new(text), digest }
    }

    /// The digest of a text that somebody presents; `None` if it cannot be a token, so that no lookup is needed.
    pub fn digest_of(presented: &str) -> Option<Digest> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(presented).ok()?);
        (bytes.len() == RANDOM_LENGTH).then(|| Digest::of(presented))
    }
}

#[cfg(test)]
mod tests {
    use domain::SeededEntropy;

    use super::*;

    #[test]
    fn a_presented_token_has_the_stored_digest() {
        let entropy = SeededEntropy::new(1);
        let (token, other) = (OpaqueToken::generate(&entropy), OpaqueToken::generate(&entropy));
        assert_eq!(token.text.reveal().len(), 43);
        let stored = Digest::from_slice(token.digest.as_bytes()).unwrap();
        assert!(OpaqueToken::digest_of(token.text.reveal()).unwrap().matches(&stored));
        assert!(!OpaqueToken::digest_of(other.text.reveal()).unwrap().matches(&stored));
        assert!(!format!("{token:?}").contains(token.text.reveal().as_str()));
        for text in ["", "abc", &format!("{}=", token.text.reveal()), &"A".repeat(42), &"!".repeat(43)] {
            assert!(OpaqueToken::digest_of(text).is_none(), "{text}");
        }
        assert!(Digest::from_slice(&[0; 31]).is_none());
    }
}

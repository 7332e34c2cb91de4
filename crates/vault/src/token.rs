//! Tokens: texts with 256 random bits that are shown once and stored as a SHA-256 digest. A digest without salt is enough,
//! because there is nothing to guess; codes that people type are different ([`Code`]).

mod code;
mod opaque;
mod personal;

use sha2::{Digest as _, Sha256};

use crate::signer::constant_time_eq;

pub use code::{CODE_DIGITS, Code};
pub use opaque::OpaqueToken;
pub use personal::{InvalidToken, PersonalToken, PresentedToken};

const DIGEST_LENGTH: usize = 32;

/// The stored form of a token. Look it up by its bytes; compare with [`Digest::matches`].
#[derive(Clone)]
pub struct Digest([u8; DIGEST_LENGTH]);

impl Digest {
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Takes stored bytes; `None` if there are not 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        constant_time_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Digest")
    }
}

//! The master key, which wraps the data keys and never touches a value itself, and the ring of master keys that makes its
//! rotation possible.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::{Entropy, Secret};
use zeroize::Zeroizing;

use crate::aead::{self, KEY_LENGTH, Key};
use crate::{Signer, VaultError};

const TEXT_PREFIX: &str = "sea_mk1_";
const ID_LENGTH: usize = 16;
/// 32 random bytes with fewer different values than this do not happen; repeated and example keys have fewer.
const DISTINCT_BYTES_MIN: usize = 16;

/// Which master key it is: a value derived from the key, which commits to it and says nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MasterKeyId([u8; ID_LENGTH]);

impl MasterKeyId {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for MasterKeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for MasterKeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A master key of 256 bits.
#[derive(Clone)]
pub struct MasterKey {
    id: MasterKeyId,
    key: Key,
}

impl MasterKey {
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self::of(Secret::new(aead::random::<KEY_LENGTH>(entropy)))
    }

    /// Reads a key from the text of a key file or an environment value: `sea_mk1_` and base64url, or plain base64 of 32 bytes.
    ///
    /// # Errors
    /// [`VaultError::InvalidMasterKey`] for other texts and for keys nobody drew at random (repeated bytes, printable text).
    pub fn from_text(text: &str) -> Result<Self, VaultError> {
        let text = text.trim();
        let decoded = match text.strip_prefix(TEXT_PREFIX) {
            Some(rest) => URL_SAFE_NO_PAD.decode(rest),
            None => STANDARD.decode(text),
        };
        let bytes = Zeroizing::new(decoded.map_err(|_| VaultError::InvalidMasterKey("it is not base64"))?);
        let bytes: [u8; KEY_LENGTH] = bytes.as_slice().try_into().map_err(|_| VaultError::InvalidMasterKey("it does not have 32 bytes"))?;
        let key = Secret::new(bytes);
        if key.reveal().iter().collect::<BTreeSet<_>>().len() < DISTINCT_BYTES_MIN {
            return Err(VaultError::InvalidMasterKey("it repeats the same bytes; make one with a random generator"));
        }
        if key.reveal().iter().all(u8::is_ascii_graphic) {
            return Err(VaultError::InvalidMasterKey("it is readable text; make one with a random generator"));
        }
        Ok(Self::of(key))
    }

    /// The text of the key file.
    pub fn to_text(&self) -> Secret<String> {
        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(self.key.reveal()));
        Secret::new(format!("{TEXT_PREFIX}{}", encoded.as_str()))
    }

    pub fn id(&self) -> MasterKeyId {
        self.id
    }

    /// A signing key for one purpose, as permanent as this master key.
    pub fn signer(&self, purpose: &str) -> Signer {
        Signer::new(aead::derive(&self.key, &[b"seaway signer\0", purpose.as_bytes()]))
    }

    /// The key that encrypts under this master key, separate from its id and its signers.
    pub(crate) fn wrapping_key(&self) -> Key {
        aead::derive(&self.key, &[b"seaway master key wrap"])
    }

    fn of(key: Key) -> Self {
        let derived = aead::derive(&key, &[b"seaway master key id"]);
        let mut id = [0u8; ID_LENGTH];
        for (place, byte) in id.iter_mut().zip(derived.reveal()) {
            *place = *byte;
        }
        Self { id: MasterKeyId(id), key }
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MasterKey({})", self.id)
    }
}

/// The current master key and those it replaces. To rotate: start with the new key as current and the old one as previous,
/// re-wrap every data key ([`MasterRing::rewrap`]), then drop the old one.
#[derive(Debug, Clone)]
pub struct MasterRing {
    current: MasterKey,
    previous: Vec<MasterKey>,
}

impl MasterRing {
    pub fn new(current: MasterKey, previous: Vec<MasterKey>) -> Self {
        Self { current, previous }
    }

    pub fn current(&self) -> &MasterKey {
        &self.current
    }

    /// # Errors
    /// [`VaultError::WrongMasterKey`] if no key of the ring has this id.
    pub(crate) fn get(&self, id: MasterKeyId) -> Result<&MasterKey, VaultError> {
        self.keys().find(|key| key.id == id).ok_or_else(|| VaultError::WrongMasterKey {
            needed: id,
            have: self.keys().map(|key| key.id.to_string()).collect::<Vec<_>>().join(", "),
        })
    }

    /// The current key first.
    pub fn keys(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

#[cfg(test)]
mod tests {
    use domain::SeededEntropy;

    use super::*;

    #[test]
    fn text_round_trips_in_both_forms() {
        let key = MasterKey::generate(&SeededEntropy::new(1));
        let text = key.to_text();
        assert_eq!(MasterKey::from_text(&format!("{}\n", text.reveal())).unwrap().id(), key.id());
        let plain = STANDARD.encode(key.key.reveal());
        assert_eq!(MasterKey::from_text(&plain).unwrap().id(), key.id());
        assert!(!format!("{key:?}").contains(text.reveal().trim_start_matches(TEXT_PREFIX)));
    }

    #[test]
    fn weak_and_malformed_keys_are_refused() {
        for text in [
            String::new(),
            "changeme".into(),
            STANDARD.encode([0u8; 32]),
            STANDARD.encode([7u8; 32]),
            STANDARD.encode(b"0123456789abcdefghijklmnopqrstuv"),
            STANDARD.encode([1u8; 16]),
            format!("sea_mk1_{}", URL_SAFE_NO_PAD.encode([9u8; 33])),
        ] {
            assert!(matches!(MasterKey::from_text(&text), Err(VaultError::InvalidMasterKey(_))), "{text}");
        }
    }

    #[test]
    fn signers_of_two_purposes_differ() {
        let key = MasterKey::generate(&SeededEntropy::new(1));
        assert_ne!(key.signer("a").sign("p", b"x"), key.signer("b").sign("p", b"x"));
    }
}

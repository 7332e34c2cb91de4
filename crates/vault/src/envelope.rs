//! The bytes of a sealed value: `version ‖ algorithm ‖ data key id 16 ‖ data key version 4 ‖ nonce 12 ‖ ciphertext ‖ tag 16`.
//!
//! The master key is not named here: the data key's wrapped form names it, so that a rotation of the master key rewrites the
//! wrapped data keys only.

use domain::Secret;
use uuid::Uuid;

use crate::aead::{self, Key, NONCE_LENGTH, TAG_LENGTH};
use crate::{Place, Unreadable, VaultError};

/// The longest value that can be sealed: 10,000 variables of an environment fit.
pub const PLAINTEXT_SIZE_BYTES_MAX: usize = 16 * 1024 * 1024;

const VERSION: u8 = 1;
const ALGORITHM_AES_256_GCM: u8 = 1;
const HEADER_LENGTH: usize = 22;
const OVERHEAD: usize = HEADER_LENGTH + NONCE_LENGTH + TAG_LENGTH;

/// A sealed value as stored. Its form is checked; whether it opens, only the [`crate::KeyRing`] can tell.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Takes stored bytes.
    ///
    /// # Errors
    /// [`VaultError::Unreadable`] for everything that is not an envelope; it is never taken for plaintext.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, VaultError> {
        match bytes.as_slice() {
            [VERSION, ALGORITHM_AES_256_GCM, ..] if (OVERHEAD..=OVERHEAD + PLAINTEXT_SIZE_BYTES_MAX).contains(&bytes.len()) => {
                Ok(Self(bytes))
            }
            _ => Err(Unreadable::NotAnEnvelope.into()),
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The data key that sealed it.
    pub fn key_id(&self) -> Uuid {
        self.0.get(2..18).and_then(|bytes| Uuid::from_slice(bytes).ok()).unwrap_or_default()
    }

    /// The version of that key, counted per organization from 1.
    pub fn key_version(&self) -> u32 {
        self.0.get(18..HEADER_LENGTH).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
    }

    pub(crate) fn seal(
        key: &Key,
        id: Uuid,
        version: u32,
        nonce: [u8; NONCE_LENGTH],
        place: &Place<'_>,
        plaintext: &[u8],
    ) -> Result<Self, VaultError> {
        let too_large = || VaultError::TooLarge { size_bytes: plaintext.len(), size_bytes_max: PLAINTEXT_SIZE_BYTES_MAX };
        if plaintext.len() > PLAINTEXT_SIZE_BYTES_MAX {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(OVERHEAD + plaintext.len());
        bytes.extend_from_slice(&[VERSION, ALGORITHM_AES_256_GCM]);
        bytes.extend_from_slice(id.as_bytes());
        bytes.extend_from_slice(&version.to_be_bytes());
        let associated = place.associated_data(&bytes);
        bytes.extend_from_slice(&nonce);
        bytes.extend(aead::seal(key, &nonce, &associated, plaintext).ok_or_else(too_large)?);
        Ok(Self(bytes))
    }

    pub(crate) fn open(&self, key: &Key, place: &Place<'_>) -> Result<Secret<Vec<u8>>, Unreadable> {
        let (header, rest) = self.0.split_at_checked(HEADER_LENGTH).ok_or(Unreadable::NotAnEnvelope)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LENGTH).ok_or(Unreadable::NotAnEnvelope)?;
        aead::open(key, nonce, &place.associated_data(header), sealed)
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Sealed(key version {}, {} bytes)", self.key_version(), self.0.len())
    }
}

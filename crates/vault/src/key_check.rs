//! A known text sealed under the master key, stored once per instance. At start-up it tells a wrong master key at once,
//! before anything is written.
//!
//! `version ‖ algorithm ‖ master key id 16 ‖ nonce 12 ‖ ciphertext ‖ tag 16`.

use domain::Entropy;

use crate::aead::{self, NONCE_LENGTH};
use crate::master_key::{MasterKeyId, MasterRing};
use crate::place::length_prefixed;
use crate::{Unreadable, VaultError};

const VERSION: u8 = 1;
const ALGORITHM_AES_256_GCM: u8 = 1;
const HEADER_LENGTH: usize = 18;
const KNOWN_TEXT: &[u8] = b"seaway key check";

/// The key-check value as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyCheck(Vec<u8>);

impl KeyCheck {
    /// A check of the current master key. Store it in the same transaction as the first wrapped data key, and again at the
    /// end of a rotation of the master key.
    ///
    /// # Errors
    /// [`VaultError::Cipher`] only.
    pub fn create(masters: &MasterRing, entropy: &dyn Entropy) -> Result<Self, VaultError> {
        let master = masters.current();
        let mut bytes = vec![VERSION, ALGORITHM_AES_256_GCM];
        bytes.extend_from_slice(master.id().as_bytes());
        let nonce = aead::random::<NONCE_LENGTH>(entropy);
        let sealed = aead::seal(&master.wrapping_key(), &nonce, &associated_data(&bytes), KNOWN_TEXT);
        bytes.extend_from_slice(&nonce);
        bytes.extend(sealed.ok_or(VaultError::Cipher)?);
        Ok(Self(bytes))
    }

    /// Takes stored bytes; they are checked by [`KeyCheck::verify`].
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Proves that the ring holds the master key this instance's secrets are sealed with.
    ///
    /// # Errors
    /// [`VaultError::WrongMasterKey`] if it does not; [`VaultError::Unreadable`] if the stored value was damaged.
    pub fn verify(&self, masters: &MasterRing) -> Result<(), VaultError> {
        let (header, rest) = self.0.split_at_checked(HEADER_LENGTH).ok_or(Unreadable::NotAnEnvelope)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LENGTH).ok_or(Unreadable::NotAnEnvelope)?;
        let [VERSION, ALGORITHM_AES_256_GCM, id @ ..] = header else {
            return Err(Unreadable::NotAnEnvelope.into());
        };
        let master = masters.get(MasterKeyId::from_slice(id).ok_or(Unreadable::NotAnEnvelope)?)?;
        let opened = aead::open(&master.wrapping_key(), nonce, &associated_data(header), sealed)?;
        if opened.reveal() == KNOWN_TEXT { Ok(()) } else { Err(Unreadable::NotAuthentic.into()) }
    }

    /// Whether it was made under another master key than the current one.
    pub fn needs_renewal(&self, masters: &MasterRing) -> bool {
        self.0.get(2..HEADER_LENGTH) != Some(masters.current().id().as_bytes())
    }
}

fn associated_data(header: &[u8]) -> Vec<u8> {
    length_prefixed(&[b"seaway key check", header])
}

#[cfg(test)]
mod tests {
    use domain::SeededEntropy;

    use super::*;
    use crate::MasterKey;

    #[test]
    fn the_right_key_passes_a_wrong_one_is_named_and_damage_is_seen() {
        let entropy = SeededEntropy::new(3);
        let (key, other) = (MasterKey::generate(&entropy), MasterKey::generate(&entropy));
        let masters = MasterRing::new(key.clone(), vec![]);
        let check = KeyCheck::create(&masters, &entropy).unwrap();
        check.verify(&masters).unwrap();
        assert!(!check.needs_renewal(&masters));

        let wrong = MasterRing::new(other.clone(), vec![]);
        let error = check.verify(&wrong).unwrap_err();
        let VaultError::WrongMasterKey { needed, have } = &error else { panic!("{error}") };
        assert_eq!((*needed, have.as_str()), (key.id(), other.id().to_string().as_str()));
        assert!(error.to_string().contains("no new key is made"));

        let rotating = MasterRing::new(other, vec![key]);
        check.verify(&rotating).unwrap();
        assert!(check.needs_renewal(&rotating));

        for place in 0..check.0.len() {
            let mut bytes = check.0.clone();
            bytes[place] ^= 1;
            assert!(KeyCheck::from_bytes(bytes).verify(&masters).is_err(), "byte {place}");
        }
        assert!(KeyCheck::from_bytes(vec![]).verify(&masters).is_err());
    }
}

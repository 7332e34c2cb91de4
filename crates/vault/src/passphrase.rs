//! Bytes under a passphrase: the master key inside a backup that was asked to hold it.
//!
//! `version ‖ algorithm ‖ memory KiB 4 ‖ passes 4 ‖ salt 16 ‖ nonce 12 ‖ ciphertext ‖ tag 16`; the key is argon2id of the
//! passphrase, and everything before the nonce is authenticated.

use argon2::{Algorithm, Argon2, Params, Version};
use domain::{Entropy, Secret};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::aead::{self, KEY_LENGTH, Key, NONCE_LENGTH};
use crate::place::length_prefixed;
use crate::{Unreadable, VaultError};

/// A backup can be attacked offline, for years.
pub const PASSPHRASE_CHARACTERS_MIN: usize = 15;

const VERSION: u8 = 1;
const ALGORITHM_ARGON2ID_AES_256_GCM: u8 = 1;
const MEMORY_KIB: u32 = 65_536;
const PASSES: u32 = 4;
const SALT_LENGTH: usize = 16;
const HEADER_LENGTH: usize = 2 + 4 + 4 + SALT_LENGTH;
/// What asks for more was not made by Seaway.
const MEMORY_KIB_MAX: u32 = 1_048_576;
const PASSES_MAX: u32 = 20;

/// Seals bytes with a passphrase. Takes a tenth of a second or more of CPU.
///
/// # Errors
/// [`VaultError::WeakPassphrase`] for a short one.
pub fn seal_with_passphrase(passphrase: &Secret<String>, value: &Secret<Vec<u8>>, entropy: &dyn Entropy) -> Result<Vec<u8>, VaultError> {
    if passphrase.reveal().trim().chars().count() < PASSPHRASE_CHARACTERS_MIN {
        return Err(VaultError::WeakPassphrase);
    }
    let mut bytes = vec![VERSION, ALGORITHM_ARGON2ID_AES_256_GCM];
    bytes.extend_from_slice(&MEMORY_KIB.to_be_bytes());
    bytes.extend_from_slice(&PASSES.to_be_bytes());
    let salt = aead::random::<SALT_LENGTH>(entropy);
    bytes.extend_from_slice(&salt);
    let key = derive(passphrase, &salt, MEMORY_KIB, PASSES)?;
    let nonce = aead::random::<NONCE_LENGTH>(entropy);
    let sealed = aead::seal(&key, &nonce, &associated_data(&bytes), value.reveal()).ok_or(VaultError::Cipher)?;
    bytes.extend_from_slice(&nonce);
    bytes.extend(sealed);
    Ok(bytes)
}

/// Opens such bytes.
///
/// # Errors
/// [`VaultError::WrongPassphrase`], also for bytes that were changed: the two cannot be told apart;
/// [`VaultError::Unreadable`] for bytes that are nothing of the kind.
pub fn open_with_passphrase(passphrase: &Secret<String>, bytes: &[u8]) -> Result<Secret<Vec<u8>>, VaultError> {
    let (header, rest) = bytes.split_at_checked(HEADER_LENGTH).ok_or(Unreadable::NotAnEnvelope)?;
    let (nonce, sealed) = rest.split_at_checked(NONCE_LENGTH).ok_or(Unreadable::NotAnEnvelope)?;
    let [VERSION, ALGORITHM_ARGON2ID_AES_256_GCM, m0, m1, m2, m3, p0, p1, p2, p3, salt @ ..] = header else {
        return Err(Unreadable::NotAnEnvelope.into());
    };
    let (memory_kib, passes) = (u32::from_be_bytes([*m0, *m1, *m2, *m3]), u32::from_be_bytes([*p0, *p1, *p2, *p3]));
    if memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX {
        return Err(Unreadable::NotAnEnvelope.into());
    }
    let key = derive(passphrase, salt, memory_kib, passes)?;
    aead::open(&key, nonce, &associated_data(header), sealed).map_err(|_| VaultError::WrongPassphrase)
}

fn derive(passphrase: &Secret<String>, salt: &[u8], memory_kib: u32, passes: u32) -> Result<Key, VaultError> {
    let normal = Zeroizing::new(passphrase.reveal().trim().nfkc().collect::<String>());
    let params = Params::new(memory_kib, passes, 1, Some(KEY_LENGTH)).map_err(|_| Unreadable::NotAnEnvelope)?;
    let mut key = Zeroizing::new([0u8; KEY_LENGTH]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(normal.as_bytes(), salt, key.as_mut_slice())
        .map_err(|_| VaultError::Cipher)?;
    Ok(Secret::new(*key))
}

fn associated_data(header: &[u8]) -> Vec<u8> {
    length_prefixed(&[b"seaway passphrase", header])
}

#[cfg(test)]
mod tests {
    use domain::SeededEntropy;

    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn only_the_passphrase_opens_and_damage_is_seen() {
        let entropy = SeededEntropy::new(5);
        let value = Secret::new(b"sea_mk1_x".to_vec());
        let bytes = seal_with_passphrase(&secret("lantern over quiet water"), &value, &entropy).unwrap();
        // A line end of a passphrase file does not count.
        let opened = open_with_passphrase(&secret("lantern over quiet water\n"), &bytes).unwrap();
        assert_eq!(opened.reveal(), value.reveal());
        assert!(matches!(open_with_passphrase(&secret("lantern over quiet wates"), &bytes), Err(VaultError::WrongPassphrase)));
        for place in [10, HEADER_LENGTH, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(open_with_passphrase(&secret("lantern over quiet water"), &changed).is_err(), "{place}");
        }
        // A length that asks for all memory is refused, not tried.
        let mut huge = bytes.clone();
        huge[2] = 0xff;
        assert!(matches!(open_with_passphrase(&secret("x"), &huge), Err(VaultError::Unreadable(_))));
        assert!(matches!(open_with_passphrase(&secret("x"), b"short"), Err(VaultError::Unreadable(_))));
    }

    #[test]
    fn a_short_passphrase_is_refused() {
        let value = Secret::new(vec![1]);
        assert!(matches!(
            seal_with_passphrase(&secret(" fourteen char  "), &value, &SeededEntropy::new(1)),
            Err(VaultError::WeakPassphrase)
        ));
    }
}

//! AES-256-GCM with a 96-bit nonce and a 128-bit tag, and HKDF-SHA256. Everything sealed in this crate goes through here,
//! and so do the published test vectors.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use domain::{Entropy, Secret};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::Unreadable;

pub(crate) const KEY_LENGTH: usize = 32;
pub(crate) const NONCE_LENGTH: usize = 12;
pub(crate) const TAG_LENGTH: usize = 16;

/// A key of 256 bits.
pub(crate) type Key = Secret<[u8; KEY_LENGTH]>;

/// Seals; the result is ciphertext ‖ tag. `None` only for a nonce of another length than 12 bytes or an input beyond the
/// 64 GiB of the standard.
pub(crate) fn seal(key: &Key, nonce: &[u8], associated: &[u8], plaintext: &[u8]) -> Option<Vec<u8>> {
    let nonce: &[u8; NONCE_LENGTH] = nonce.try_into().ok()?;
    cipher(key)?.encrypt(nonce.into(), Payload { msg: plaintext, aad: associated }).ok()
}

/// Opens ciphertext ‖ tag; nothing of the plaintext comes out unless all of it is authentic.
pub(crate) fn open(key: &Key, nonce: &[u8], associated: &[u8], sealed: &[u8]) -> Result<Secret<Vec<u8>>, Unreadable> {
    let nonce: &[u8; NONCE_LENGTH] = nonce.try_into().map_err(|_| Unreadable::NotAnEnvelope)?;
    if sealed.len() < TAG_LENGTH {
        return Err(Unreadable::NotAnEnvelope);
    }
    cipher(key)
        .and_then(|cipher| cipher.decrypt(nonce.into(), Payload { msg: sealed, aad: associated }).ok())
        .map(Secret::new)
        .ok_or(Unreadable::NotAuthentic)
}

/// HKDF-SHA256 (RFC 5869) without salt: one independent key per purpose from one strong key.
pub(crate) fn derive(key: &Key, info: &[&[u8]]) -> Key {
    let mut output = [0u8; KEY_LENGTH];
    // Fails only beyond 255 blocks; this is one.
    let expanded = Hkdf::<Sha256>::new(None, key.reveal()).expand_multi_info(info, &mut output);
    debug_assert!(expanded.is_ok());
    Secret::new(output)
}

pub(crate) fn random<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0u8; N];
    entropy.fill(&mut bytes);
    bytes
}

fn cipher(key: &Key) -> Option<Aes256Gcm> {
    Aes256Gcm::new_from_slice(key.reveal()).ok()
}

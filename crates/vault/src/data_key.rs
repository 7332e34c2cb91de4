//! The data key of an organization and its wrapped form, which the caller stores.
//!
//! Wrapped: `version ‖ algorithm ‖ master key id 16 ‖ data key id 16 ‖ data key version 4 ‖ tenant 16 ‖ commitment 32 ‖
//! nonce 12 ‖ ciphertext 32 ‖ tag 16`. GCM does not commit to its key; the commitment (HKDF of the data key) does.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::{Entropy, Secret};
use uuid::Uuid;

use crate::aead::{self, KEY_LENGTH, Key, NONCE_LENGTH, TAG_LENGTH};
use crate::master_key::{MasterKeyId, MasterRing};
use crate::place::length_prefixed;
use crate::signer::constant_time_eq;
use crate::{Unreadable, VaultError};

const VERSION: u8 = 1;
const ALGORITHM_AES_256_GCM: u8 = 1;
const HEADER_LENGTH: usize = 2 + 16 + 16 + 4 + 16;
const COMMITMENT_LENGTH: usize = 32;
const WRAPPED_LENGTH: usize = HEADER_LENGTH + COMMITMENT_LENGTH + NONCE_LENGTH + KEY_LENGTH + TAG_LENGTH;

/// A data key in memory: one version of the key of one organization.
pub struct DataKey {
    id: Uuid,
    version: u32,
    tenant: Uuid,
    key: Key,
    sealing: Key,
    uses: AtomicU64,
}

impl DataKey {
    /// A new key. `id` is a fresh id from the caller; `version` is one more than the highest the organization ever had.
    pub fn generate(tenant: Uuid, id: Uuid, version: u32, entropy: &dyn Entropy) -> Self {
        Self::of(tenant, id, version, Secret::new(aead::random::<KEY_LENGTH>(entropy)))
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    pub fn version(&self) -> u32 {
        self.version
    }

    pub fn tenant(&self) -> Uuid {
        self.tenant
    }

    /// How many values this key has sealed, as far as this process knows.
    pub fn uses(&self) -> u64 {
        self.uses.load(Ordering::Relaxed)
    }

    /// Sets the count from storage; a count never goes back.
    pub fn restore_uses(&self, uses: u64) {
        self.uses.fetch_max(uses, Ordering::Relaxed);
    }

    pub(crate) fn count_use(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    /// The key that seals values, separate from the commitment.
    pub(crate) fn sealing_key(&self) -> &Key {
        &self.sealing
    }

    /// Wraps the key under the current master key, for storage.
    ///
    /// # Errors
    /// [`VaultError::Cipher`] only: a key is never stored half.
    pub fn wrap(&self, masters: &MasterRing, entropy: &dyn Entropy) -> Result<WrappedDataKey, VaultError> {
        let master = masters.current();
        let mut bytes = Vec::with_capacity(WRAPPED_LENGTH);
        bytes.extend_from_slice(&[VERSION, ALGORITHM_AES_256_GCM]);
        bytes.extend_from_slice(master.id().as_bytes());
        bytes.extend_from_slice(self.id.as_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(self.tenant.as_bytes());
        bytes.extend_from_slice(self.commitment().reveal());
        let nonce = aead::random::<NONCE_LENGTH>(entropy);
        let sealed = aead::seal(&master.wrapping_key(), &nonce, &associated_data(&bytes), self.key.reveal());
        bytes.extend_from_slice(&nonce);
        bytes.extend(sealed.ok_or(VaultError::Cipher)?);
        Ok(WrappedDataKey(bytes))
    }

    fn of(tenant: Uuid, id: Uuid, version: u32, key: Key) -> Self {
        let sealing = aead::derive(&key, &[b"seaway data key seal"]);
        Self { id, version, tenant, key, sealing, uses: AtomicU64::new(0) }
    }

    fn commitment(&self) -> Key {
        aead::derive(&self.key, &[b"seaway data key commitment", self.tenant.as_bytes(), self.id.as_bytes(), &self.version.to_be_bytes()])
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "DataKey({}, version {}, tenant {})", self.id, self.version, self.tenant)
    }
}

/// A data key as stored. Deleting every copy of it is the crypto-shred of its organization.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedDataKey(Vec<u8>);

impl WrappedDataKey {
    /// # Errors
    /// [`VaultError::Unreadable`] if the bytes do not have the form of a wrapped data key.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, VaultError> {
        match bytes.as_slice() {
            [VERSION, ALGORITHM_AES_256_GCM, ..] if bytes.len() == WRAPPED_LENGTH => Ok(Self(bytes)),
            _ => Err(Unreadable::NotAnEnvelope.into()),
        }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Opens the data key of `tenant`.
    ///
    /// # Errors
    /// [`VaultError::WrongMasterKey`] if its master key is not in the ring; [`VaultError::Unreadable`] if it was changed or
    /// belongs to another organization.
    pub fn unwrap_key(&self, masters: &MasterRing, tenant: Uuid) -> Result<DataKey, VaultError> {
        let parts = self.parts().ok_or(Unreadable::NotAnEnvelope)?;
        if parts.tenant != tenant {
            return Err(Unreadable::NotAuthentic.into());
        }
        let master = masters.get(parts.master)?;
        let opened = aead::open(&master.wrapping_key(), parts.nonce, &associated_data(parts.authenticated), parts.sealed)?;
        let key: [u8; KEY_LENGTH] = opened.reveal().as_slice().try_into().map_err(|_| Unreadable::NotAnEnvelope)?;
        let data_key = DataKey::of(tenant, parts.id, parts.version, Secret::new(key));
        if !constant_time_eq(data_key.commitment().reveal(), parts.commitment) {
            return Err(Unreadable::NotAuthentic.into());
        }
        Ok(data_key)
    }

    /// Whether it is wrapped under another master key than the current one.
    pub fn needs_rewrap(&self, masters: &MasterRing) -> bool {
        self.parts().is_none_or(|parts| parts.master != masters.current().id())
    }

    /// The same data key under the current master key; sealed values stay as they are.
    ///
    /// # Errors
    /// Those of [`WrappedDataKey::unwrap_key`].
    pub fn rewrap(&self, masters: &MasterRing, tenant: Uuid, entropy: &dyn Entropy) -> Result<Self, VaultError> {
        self.unwrap_key(masters, tenant)?.wrap(masters, entropy)
    }

    fn parts(&self) -> Option<Parts<'_>> {
        let bytes = self.0.as_slice();
        let authenticated = HEADER_LENGTH + COMMITMENT_LENGTH;
        Some(Parts {
            master: MasterKeyId::from_slice(bytes.get(2..18)?)?,
            id: Uuid::from_slice(bytes.get(18..34)?).ok()?,
            version: u32::from_be_bytes(bytes.get(34..38)?.try_into().ok()?),
            tenant: Uuid::from_slice(bytes.get(38..HEADER_LENGTH)?).ok()?,
            commitment: bytes.get(HEADER_LENGTH..authenticated)?,
            authenticated: bytes.get(..authenticated)?,
            nonce: bytes.get(authenticated..authenticated + NONCE_LENGTH)?,
            sealed: bytes.get(authenticated + NONCE_LENGTH..)?,
        })
    }
}

impl std::fmt::Debug for WrappedDataKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("WrappedDataKey")
    }
}

struct Parts<'a> {
    master: MasterKeyId,
    id: Uuid,
    version: u32,
    tenant: Uuid,
    commitment: &'a [u8],
    authenticated: &'a [u8],
    nonce: &'a [u8],
    sealed: &'a [u8],
}

fn associated_data(header_and_commitment: &[u8]) -> Vec<u8> {
    length_prefixed(&[b"seaway wrapped data key", header_and_commitment])
}

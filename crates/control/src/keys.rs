//! Keys of the tenants: a data key per organization, made at its first secret, wrapped by the master key.
//!
//! Invariant: a value is sealed to its place (tenant, table, column, row, name); moved ciphertext does not open.

use std::sync::{Arc, OnceLock};

use domain::{Clock, Entropy, Secret};
use store::{Store, data_keys};
use uuid::Uuid;
use vault::{DataKey, KeyRing, MasterRing, Place, Sealed, WrappedDataKey};

use crate::error::{ControlError, Result};

pub struct Keys {
    ring: Arc<KeyRing>,
    masters: MasterRing,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    sealed: OnceLock<String>,
}

/// Tenant of what belongs to the instance itself.
pub const INSTANCE: Uuid = Uuid::nil();

impl Keys {
    pub fn new(ring: Arc<KeyRing>, masters: MasterRing, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { ring, masters, clock, entropy, sealed: OnceLock::new() }
    }

    /// The master key is missing or wrong: from now on everything that needs a secret answers `Sealed` with this reason.
    pub fn seal_instance(&self, reason: String) {
        self.ring.clear();
        let _first_reason_stays = self.sealed.set(reason);
    }

    /// Why the instance is sealed; `None` when it is not.
    pub fn sealed_reason(&self) -> Option<&str> {
        self.sealed.get().map(String::as_str)
    }

    pub fn masters(&self) -> &MasterRing {
        &self.masters
    }

    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Seals a value. The tenant's key is loaded, or made when it has none.
    ///
    /// # Errors
    /// `Sealed` when the master key does not open the tenant's key.
    pub async fn seal(&self, store: &Store, place: &Place<'_>, value: &Secret<String>) -> Result<Vec<u8>> {
        self.ready(store, place.tenant).await?;
        Ok(self.ring.seal_text(value, place).map_err(sealed)?.into_bytes())
    }

    /// Opens a value.
    ///
    /// # Errors
    /// `Sealed` when no key opens it; a changed or moved ciphertext is an internal error, never plain text.
    pub async fn open(&self, store: &Store, place: &Place<'_>, bytes: &[u8]) -> Result<Secret<String>> {
        self.ready(store, place.tenant).await?;
        let sealed_value = Sealed::from_bytes(bytes.to_vec()).map_err(sealed)?;
        self.ring.open_text(&sealed_value, place).map_err(sealed)
    }

    /// Loads the tenant's keys into memory, making the first. Call it before a write unit is open.
    pub async fn ready(&self, store: &Store, tenant: Uuid) -> Result<()> {
        if let Some(reason) = self.sealed_reason() {
            return Err(ControlError::Sealed(reason.to_owned()));
        }
        if self.ring.is_loaded(tenant) {
            return Ok(());
        }
        let mut rows = data_keys::list(&mut store.read().await?, tenant).await?;
        if rows.is_empty() {
            let key = DataKey::generate(tenant, domain::id::uuid_v7(self.clock.as_ref(), self.entropy.as_ref()), 1, self.entropy.as_ref());
            let wrapped = key.wrap(&self.masters, self.entropy.as_ref()).map_err(sealed)?;
            let mut write = store.write().await?;
            data_keys::insert_first(&mut write, tenant, wrapped.as_bytes(), &self.masters.current().id().to_string(), self.clock.now()).await?;
            write.commit_without_audit("the first data key of a tenant is made with its first secret").await?;
            rows = data_keys::list(&mut store.read().await?, tenant).await?;
        }
        let mut keys = Vec::with_capacity(rows.len());
        let mut current = 1;
        for row in rows {
            let key = WrappedDataKey::from_bytes(row.wrapped).and_then(|wrapped| wrapped.unwrap_key(&self.masters, tenant)).map_err(sealed)?;
            if row.state == data_keys::KeyState::Current {
                current = key.version();
            }
            keys.push(key);
        }
        self.ring.load(tenant, keys, current).map_err(sealed)
    }
}

fn sealed(error: vault::VaultError) -> ControlError {
    ControlError::Sealed(error.to_string())
}

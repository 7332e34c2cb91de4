//! Keys of the tenants: a data key per organization, made at its first secret, wrapped by the master key.
//!
//! Invariant: a value is sealed to its place (tenant, table, column, row, name); moved ciphertext does not open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use domain::{Clock, Entropy, Secret};
use store::{Store, data_keys, master_keys};
use uuid::Uuid;
use vault::{DataKey, KeyRing, MasterRing, Place, Sealed, VaultError, WrappedDataKey};

use crate::error::{ControlError, Result};
use crate::rotation::MasterKeyFiles;

pub struct Keys {
    ring: Arc<KeyRing>,
    masters: RwLock<MasterRing>,
    /// Where another process may put a new master key.
    files: OnceLock<MasterKeyFiles>,
    /// By data key: how many uses have been stored.
    uses_stored: Mutex<HashMap<Uuid, u64>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    sealed: OnceLock<String>,
}

/// Tenant of what belongs to the instance itself.
pub const INSTANCE: Uuid = Uuid::nil();

impl Keys {
    pub fn new(ring: Arc<KeyRing>, masters: MasterRing, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            ring,
            masters: RwLock::new(masters),
            files: OnceLock::new(),
            uses_stored: Mutex::default(),
            clock,
            entropy,
            sealed: OnceLock::new(),
        }
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

    /// From now on a master key that a rotation puts into these files is learnt without a restart.
    pub fn follow(&self, files: MasterKeyFiles) {
        let _followed_already = self.files.set(files);
    }

    /// The files that are followed; `None` when the master key was given as a value.
    pub fn files(&self) -> Option<&MasterKeyFiles> {
        self.files.get()
    }

    pub fn masters(&self) -> MasterRing {
        self.masters.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Other master keys from now on.
    pub fn set_masters(&self, masters: MasterRing) {
        *self.masters.write().unwrap_or_else(PoisonError::into_inner) = masters;
    }

    /// Reads the followed files again; answers whether there are other keys than before. Unreadable files change nothing.
    fn learn_masters(&self) -> bool {
        let Some(Ok(read)) = self.files.get().map(MasterKeyFiles::read) else { return false };
        let known: Vec<_> = self.masters().keys().map(vault::MasterKey::id).collect();
        let new = read.keys().map(vault::MasterKey::id).collect::<Vec<_>>() != known;
        if new {
            self.set_masters(read);
        }
        new
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
        // Another process may have rotated the key: what is sealed from now on must be sealed with the new one.
        let stored = data_keys::current_version(&mut store.read().await?, tenant).await?;
        let loaded = self.ring.current_version(tenant).map(|(_, version)| i64::from(version));
        if loaded.is_some() && loaded == stored {
            return Ok(());
        }
        if stored.is_none() {
            self.make_first(store, tenant).await?;
        }
        self.load(store, tenant).await
    }

    /// Reads the tenant's keys into the ring, whatever was there.
    pub async fn load(&self, store: &Store, tenant: Uuid) -> Result<()> {
        let rows = data_keys::list(&mut store.read().await?, tenant).await?;
        let uses = data_keys::progress(&mut store.read().await?, tenant).await?;
        let before = self.ring.uses();
        let mut keys = Vec::with_capacity(rows.len());
        let mut current = 1;
        for row in rows {
            let key = self.unwrap(row.wrapped, tenant)?;
            if row.state == data_keys::KeyState::Current {
                current = key.version();
            }
            let stored = uses.iter().find(|other| other.version == row.version).map_or(0, |other| u64::try_from(other.uses).unwrap_or(0));
            // What other processes have stored counts, and what this one has not stored yet must not be lost.
            let known = before.iter().find(|known| known.1 == key.id()).map_or(0, |known| known.3);
            let mut all_stored = self.uses_stored.lock().unwrap_or_else(PoisonError::into_inner);
            let unstored = known.saturating_sub(all_stored.get(&key.id()).copied().unwrap_or(0));
            key.restore_uses(stored.max(known));
            all_stored.insert(key.id(), stored.max(known).saturating_sub(unstored));
            drop(all_stored);
            keys.push(key);
        }
        self.ring.load(tenant, keys, current).map_err(sealed)
    }

    /// Adds what this process has sealed since the last time to the stored counts.
    pub async fn store_uses(&self, store: &Store) -> Result<()> {
        let new: Vec<_> = {
            let stored = self.uses_stored.lock().unwrap_or_else(PoisonError::into_inner);
            let added = |id: Uuid, uses: u64| uses.saturating_sub(stored.get(&id).copied().unwrap_or(0));
            self.ring
                .uses()
                .into_iter()
                .map(|(tenant, id, version, uses)| (tenant, id, version, uses, added(id, uses)))
                .filter(|new| new.4 > 0)
                .collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        let mut write = store.write().await?;
        for (tenant, _, version, _, added) in &new {
            data_keys::add_uses(&mut write, *tenant, i64::from(*version), i64::try_from(*added).unwrap_or(i64::MAX)).await?;
        }
        write.commit_without_audit("counts of sealed values").await?;
        let mut stored = self.uses_stored.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, id, _, uses, _) in new {
            stored.insert(id, uses);
        }
        Ok(())
    }

    async fn make_first(&self, store: &Store, tenant: Uuid) -> Result<()> {
        self.learn_masters();
        let key = DataKey::generate(tenant, domain::id::uuid_v7(self.clock.as_ref(), self.entropy.as_ref()), 1, self.entropy.as_ref());
        let masters = self.masters();
        let master = masters.current().id().to_string();
        let wrapped = key.wrap(&masters, self.entropy.as_ref()).map_err(sealed)?;
        let mut write = store.write().await?;
        // A master key that was retired a moment ago must wrap nothing more: its file may be gone.
        master_keys::exclusive(&mut write).await?;
        let known = master_keys::find(&mut write, &master).await?;
        if known.is_some_and(|known| known.state == master_keys::MasterKeyState::Retired) {
            return Err(ControlError::Sealed(format!(
                "master key {master} was retired while this process ran; restart it with the new one"
            )));
        }
        data_keys::insert_first(&mut write, tenant, wrapped.as_bytes(), &master, self.clock.now()).await?;
        write.commit_without_audit("the first data key of a tenant is made with its first secret").await?;
        Ok(())
    }

    fn unwrap(&self, wrapped: Vec<u8>, tenant: Uuid) -> Result<DataKey> {
        let wrapped = WrappedDataKey::from_bytes(wrapped).map_err(sealed)?;
        match wrapped.unwrap_key(&self.masters(), tenant) {
            Err(VaultError::WrongMasterKey { .. }) if self.learn_masters() => wrapped.unwrap_key(&self.masters(), tenant).map_err(sealed),
            other => other.map_err(sealed),
        }
    }
}

fn sealed(error: vault::VaultError) -> ControlError {
    ControlError::Sealed(error.to_string())
}

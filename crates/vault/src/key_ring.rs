//! The data keys of the organizations in memory, and the two verbs everything else is for: seal and open.
//!
//! Rotation of a data key, in this order, each step durable before the next: (1) the caller generates version *n + 1*, wraps
//! and **stores** it, then [`KeyRing::add_pending`]; (2) [`KeyRing::promote`] once every process has it: new values use it;
//! (3) a job opens and stores anew ([`KeyRing::reseal`]) each value for which [`KeyRing::needs_reseal`] holds; (4) only when
//! none is left, [`KeyRing::retire`] and delete the old version. A crash between steps loses nothing: both versions open.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use domain::{Entropy, Secret};
use uuid::Uuid;

use crate::aead::{self, NONCE_LENGTH};
use crate::{DataKey, Place, Sealed, Unreadable, VaultError};

/// From this many sealed values on, [`KeyRing::rotation_due`] asks for a new data key.
pub const USES_BEFORE_ROTATION: u64 = 1 << 30;
/// A data key never seals more values than this: the bound for random 96-bit nonces (NIST SP 800-38D).
pub const USES_MAX: u64 = 1 << 32;

/// The cache of data keys. Cheap to share behind an `Arc`; no operation waits for anything but memory.
pub struct KeyRing {
    entropy: Arc<dyn Entropy>,
    tenants: RwLock<HashMap<Uuid, TenantKeys>>,
}

struct TenantKeys {
    /// Sorted by version.
    keys: Vec<Arc<DataKey>>,
    current: u32,
}

impl KeyRing {
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, tenants: RwLock::default() }
    }

    /// Puts the data keys of an organization in the ring, in place of what was there; values are sealed with `current`.
    ///
    /// # Errors
    /// [`VaultError::Rotation`] if the keys belong to another organization, a version occurs twice or `current` is missing.
    pub fn load(&self, tenant: Uuid, mut keys: Vec<DataKey>, current: u32) -> Result<(), VaultError> {
        keys.sort_by_key(DataKey::version);
        if keys.iter().any(|key| key.tenant() != tenant) {
            return Err(VaultError::Rotation("it belongs to another organization"));
        }
        if keys.iter().zip(keys.iter().skip(1)).any(|(one, next)| one.version() == next.version()) {
            return Err(VaultError::Rotation("the same version occurs twice"));
        }
        if !keys.iter().any(|key| key.version() == current) {
            return Err(VaultError::Rotation("the current version is missing"));
        }
        let mut tenants = self.write();
        if let Some(known) = tenants.get(&tenant) {
            for old in &known.keys {
                if let Some(new) = keys.iter().find(|key| key.id() == old.id()) {
                    new.restore_uses(old.uses());
                }
            }
        }
        tenants.insert(tenant, TenantKeys { keys: keys.into_iter().map(Arc::new).collect(), current });
        Ok(())
    }

    pub fn is_loaded(&self, tenant: Uuid) -> bool {
        self.read().contains_key(&tenant)
    }

    /// The version that seals new values and its id; `None` if the organization's keys are not loaded.
    pub fn current_version(&self, tenant: Uuid) -> Option<(Uuid, u32)> {
        self.current(tenant).ok().map(|key| (key.id(), key.version()))
    }

    /// Adds the next version: it opens, but does not seal yet. Store its wrapped form before.
    ///
    /// # Errors
    /// [`VaultError::NotLoaded`], or [`VaultError::Rotation`] if its version is not higher than all others.
    pub fn add_pending(&self, key: DataKey) -> Result<(), VaultError> {
        self.change(key.tenant(), |keys| {
            if keys.keys.iter().any(|other| other.version() >= key.version()) {
                return Err(VaultError::Rotation("its version is not higher than those before it"));
            }
            keys.keys.push(Arc::new(key));
            Ok(())
        })
    }

    /// From now on new values are sealed with this version.
    ///
    /// # Errors
    /// [`VaultError::NotLoaded`], or [`VaultError::Rotation`] for a version that is missing or older than the current one.
    pub fn promote(&self, tenant: Uuid, version: u32) -> Result<(), VaultError> {
        self.change(tenant, |keys| {
            if version < keys.current || !keys.keys.iter().any(|key| key.version() == version) {
                return Err(VaultError::Rotation("there is no such newer version"));
            }
            keys.current = version;
            Ok(())
        })
    }

    /// Drops an old version. The caller has counted that no sealed value names it any more.
    ///
    /// # Errors
    /// [`VaultError::NotLoaded`], or [`VaultError::Rotation`] for the current version or a newer one.
    pub fn retire(&self, tenant: Uuid, version: u32) -> Result<(), VaultError> {
        self.change(tenant, |keys| {
            if version >= keys.current {
                return Err(VaultError::Rotation("the current version and newer ones cannot be retired"));
            }
            keys.keys.retain(|key| key.version() != version);
            Ok(())
        })
    }

    /// Drops all keys of an organization from memory: it was deleted (crypto-shred, together with the stored wrapped keys)
    /// or its keys are to be loaded anew.
    pub fn forget(&self, tenant: Uuid) {
        self.write().remove(&tenant);
    }

    /// Drops every key: the instance goes into the sealed state.
    pub fn clear(&self) {
        self.write().clear();
    }

    /// Seals a value for one place. Whatever the value looks like, it is data.
    ///
    /// # Errors
    /// [`VaultError::NotLoaded`], [`VaultError::TooLarge`], [`VaultError::UsedUp`].
    pub fn seal(&self, value: &Secret<Vec<u8>>, place: &Place<'_>) -> Result<Sealed, VaultError> {
        self.seal_bytes(value.reveal(), place)
    }

    /// Opens a value at its place.
    ///
    /// # Errors
    /// [`VaultError::NotLoaded`] if the organization's keys are not in the ring; [`VaultError::Unreadable`] for everything
    /// that was changed, moved or sealed under a key that is gone.
    pub fn open(&self, sealed: &Sealed, place: &Place<'_>) -> Result<Secret<Vec<u8>>, VaultError> {
        let (id, version) = (sealed.key_id(), sealed.key_version());
        let tenants = self.read();
        let keys = tenants.get(&place.tenant).ok_or(VaultError::NotLoaded { tenant: place.tenant })?;
        let key = keys
            .keys
            .iter()
            .find(|key| key.id() == id && key.version() == version)
            .cloned()
            .ok_or(Unreadable::UnknownKey { key: id, version })?;
        drop(tenants);
        Ok(sealed.open(key.sealing_key(), place)?)
    }

    /// Seals a text; the empty text seals to an envelope like any other.
    ///
    /// # Errors
    /// Those of [`KeyRing::seal`].
    pub fn seal_text(&self, value: &Secret<String>, place: &Place<'_>) -> Result<Sealed, VaultError> {
        self.seal_bytes(value.reveal().as_bytes(), place)
    }

    /// Opens a text.
    ///
    /// # Errors
    /// Those of [`KeyRing::open`], and [`VaultError::NotText`] if it is not UTF-8.
    pub fn open_text(&self, sealed: &Sealed, place: &Place<'_>) -> Result<Secret<String>, VaultError> {
        let opened = self.open(sealed, place)?;
        let text = std::str::from_utf8(opened.reveal()).map_err(|_| VaultError::NotText)?;
        Ok(Secret::new(text.to_owned()))
    }

    /// Whether the value is sealed with another version than the current one.
    ///
    /// # Errors
    /// [`VaultError::NotLoaded`].
    pub fn needs_reseal(&self, sealed: &Sealed, tenant: Uuid) -> Result<bool, VaultError> {
        let tenants = self.read();
        let keys = tenants.get(&tenant).ok_or(VaultError::NotLoaded { tenant })?;
        Ok(sealed.key_version() != keys.current)
    }

    /// The same value under the current data key, for the same place.
    ///
    /// # Errors
    /// Those of [`KeyRing::open`] and [`KeyRing::seal`].
    pub fn reseal(&self, sealed: &Sealed, place: &Place<'_>) -> Result<Sealed, VaultError> {
        self.seal(&self.open(sealed, place)?, place)
    }

    /// Whether the current data key has sealed so much that a new version is due.
    ///
    /// # Errors
    /// [`VaultError::NotLoaded`].
    pub fn rotation_due(&self, tenant: Uuid) -> Result<bool, VaultError> {
        Ok(self.current(tenant)?.uses() >= USES_BEFORE_ROTATION)
    }

    /// (organization, data key id, version, values sealed) of every loaded key, for the caller to store now and then and
    /// give back with [`DataKey::restore_uses`].
    pub fn uses(&self) -> Vec<(Uuid, Uuid, u32, u64)> {
        let tenants = self.read();
        let keys = tenants.values().flat_map(|tenant| &tenant.keys);
        keys.map(|key| (key.tenant(), key.id(), key.version(), key.uses())).collect()
    }

    fn seal_bytes(&self, value: &[u8], place: &Place<'_>) -> Result<Sealed, VaultError> {
        let key = self.current(place.tenant)?;
        if key.count_use() >= USES_MAX {
            return Err(VaultError::UsedUp { tenant: place.tenant, version: key.version() });
        }
        let nonce = aead::random::<NONCE_LENGTH>(self.entropy.as_ref());
        Sealed::seal(key.sealing_key(), key.id(), key.version(), nonce, place, value)
    }

    fn current(&self, tenant: Uuid) -> Result<Arc<DataKey>, VaultError> {
        let tenants = self.read();
        let keys = tenants.get(&tenant).ok_or(VaultError::NotLoaded { tenant })?;
        let current = keys.keys.iter().find(|key| key.version() == keys.current);
        current.cloned().ok_or(VaultError::NotLoaded { tenant })
    }

    fn change(&self, tenant: Uuid, change: impl FnOnce(&mut TenantKeys) -> Result<(), VaultError>) -> Result<(), VaultError> {
        self.write().get_mut(&tenant).ok_or(VaultError::NotLoaded { tenant }).and_then(change)
    }

    // Every change under the lock is one assignment or push: after a panic the map is still whole.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<Uuid, TenantKeys>> {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Uuid, TenantKeys>> {
        self.tenants.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "KeyRing({} organizations)", self.read().len())
    }
}

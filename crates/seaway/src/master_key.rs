//! The master key at start: read, or made at the very first start; and whether it is the right one.

use std::path::{Path, PathBuf};

use anyhow::Result;
use domain::{Clock, Entropy};
use store::{Store, data_keys, instance};
use vault::{Ciphertext, KeyCheck, MasterKey, MasterRing, VaultError};

use crate::configuration::VaultConfiguration;

/// The keys, and why they do not open this instance's secrets if they do not.
pub struct Unlocked {
    pub masters: MasterRing,
    pub sealed: Option<String>,
}

/// Where the next key waits while a rotation is under way, and where the last one stays until nothing needs it.
pub fn pending_file(file: &Path) -> PathBuf {
    file.with_extension("key.next")
}

pub fn previous_file(file: &Path) -> PathBuf {
    file.with_extension("key.previous")
}

/// Reads or makes the key and checks it against the database.
///
/// A key that is missing or wrong is no error: the instance starts sealed and says so, and no key is ever made in its place.
///
/// # Errors
/// The database's.
pub async fn unlock(configuration: &VaultConfiguration, store: &Store, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<Unlocked> {
    let mut write = store.write().await?;
    instance::ensure(&mut write, clock.now()).await?;
    write.commit_without_audit("the row of the instance is made at its first start").await?;
    let check = instance::find(&mut store.read().await?).await?.and_then(|row| row.key_check);
    let has_keys = data_keys::exists(&mut store.read().await?).await?;
    let ciphertext = if check.is_some() || has_keys { Ciphertext::Exists } else { Ciphertext::None };
    let masters = match read(configuration, ciphertext, entropy) {
        Ok(masters) => masters,
        Err(error) => return Ok(sealed(&error, entropy)),
    };
    let Some(check) = check else {
        if has_keys && let Err(error) = opens_a_key(store, &masters).await? {
            return Ok(sealed(&error, entropy));
        }
        store_check(store, &masters, clock, entropy).await?;
        return Ok(Unlocked { masters, sealed: None });
    };
    match KeyCheck::from_bytes(check).verify(&masters) {
        Ok(()) => Ok(Unlocked { masters, sealed: None }),
        Err(error) => Ok(Unlocked { masters, sealed: Some(error.to_string()) }),
    }
}

/// The keys as they are now on the disk or in the settings. Never makes one.
///
/// # Errors
/// [`VaultError`] when a key is missing or cannot be read.
pub fn read_existing(configuration: &VaultConfiguration) -> Result<MasterRing, VaultError> {
    if let Some(key) = &configuration.master_key {
        return Ok(MasterRing::new(key.clone(), configuration.previous.clone().into_iter().collect()));
    }
    let current = match configuration.file.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(VaultError::MasterKeyMissing { path: configuration.file.clone() });
        }
        _ => MasterKey::from_file(&configuration.file)?,
    };
    let mut others = Vec::new();
    for path in [pending_file(&configuration.file), previous_file(&configuration.file)] {
        if path.symlink_metadata().is_ok() {
            others.push(MasterKey::from_file(&path)?);
        }
    }
    Ok(MasterRing::new(current, others))
}

fn read(configuration: &VaultConfiguration, ciphertext: Ciphertext, entropy: &dyn Entropy) -> Result<MasterRing, VaultError> {
    if configuration.master_key.is_none() {
        let loaded = vault::load_or_generate(&configuration.file, ciphertext, entropy)?;
        if let Some(warning) = loaded.warning {
            tracing::warn!("{warning}");
        }
    }
    read_existing(configuration)
}

/// A ring that opens nothing: everything that needs a secret answers `sealed`.
fn sealed(error: &VaultError, entropy: &dyn Entropy) -> Unlocked {
    Unlocked { masters: MasterRing::new(MasterKey::generate(entropy), Vec::new()), sealed: Some(error.to_string()) }
}

async fn opens_a_key(store: &Store, masters: &MasterRing) -> Result<Result<(), VaultError>> {
    let Some(row) = data_keys::list_all(&mut store.read().await?).await?.into_iter().next() else { return Ok(Ok(())) };
    Ok(vault::WrappedDataKey::from_bytes(row.wrapped).and_then(|wrapped| wrapped.unwrap_key(masters, row.tenant)).map(|_| ()))
}

async fn store_check(store: &Store, masters: &MasterRing, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<()> {
    let check = KeyCheck::create(masters, entropy)?;
    let mut write = store.write().await?;
    instance::set_key_check(&mut write, check.as_bytes(), clock.now()).await?;
    write.commit_without_audit("the check of the master key is made with the first start").await?;
    Ok(())
}

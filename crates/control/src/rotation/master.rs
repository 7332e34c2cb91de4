//! A new master key: every data key is wrapped anew; sealed values stay as they are.
//!
//! Order: (1) the next key is a file; (2) the database announces it; (3) data keys are wrapped anew, one by one; (4) the key
//! check is renewed; (5) the old file gets a second name, the next one takes its place; (6) stragglers are wrapped anew;
//! (7) the old key is retired when no data key names it. From (1) on every process that reads the files opens everything.

use std::path::PathBuf;

use store::master_keys::{self, MasterKeyState};
use store::{data_keys, instance};
use uuid::Uuid;
use vault::{KeyCheck, MasterKey, MasterRing, WrappedDataKey};

use super::{MasterKeyFiles, Moment, Rotation};
use crate::error::{ControlError, Result};

/// Data keys read at a time.
const BATCH: i64 = 200;
/// Passes over the data keys until none is left under the old key; each finds only what was made during the one before.
const PASSES_MAX: usize = 20;

/// What a rotation of the master key did.
#[derive(Debug, Clone)]
pub struct MasterRotation {
    pub old: String,
    pub new: String,
    pub rewrapped: u64,
    /// Where the old key is now: it opens the backups from before.
    pub old_kept_at: Option<PathBuf>,
}

impl Rotation<'_> {
    /// Rotates the master key in its files, or finishes a rotation that was interrupted.
    ///
    /// # Errors
    /// `Refused` while another process rotates; `Sealed` when the keys at hand do not open the data keys.
    pub async fn rotate_master(&self, files: &MasterKeyFiles) -> Result<MasterRotation> {
        let _lock = files.lock()?;
        let ring = files.read().map_err(sealed)?;
        self.check(&ring).await?;
        if let Some(old) = files.swapped_from().map_err(sealed)? {
            // Killed between the swap and the end.
            self.keys.set_masters(ring.clone());
            return self.finish(files, old, ring, 0).await;
        }
        let old = ring.current().clone();
        let new = files.prepare(self.entropy).map_err(sealed)?;
        self.cuts.at(Moment::MasterKeyWritten)?;
        let ring = MasterRing::new(new.clone(), vec![old.clone()]);
        self.announce(&old, &new).await?;
        self.keys.set_masters(ring.clone());
        self.cuts.at(Moment::MasterKeyAnnounced)?;
        let rewrapped = self.rewrap_all(&ring).await?;
        self.cuts.at(Moment::AllRewrapped)?;
        self.renew_check(&ring).await?;
        self.cuts.at(Moment::CheckRenewed)?;
        files.keep_previous()?;
        self.cuts.at(Moment::PreviousKept)?;
        files.swap()?;
        self.cuts.at(Moment::MasterKeySwapped)?;
        self.finish(files, old, ring, rewrapped).await
    }

    /// For master keys given as values (new one current, old one previous): wraps what is still under the old one.
    ///
    /// # Errors
    /// Those of [`Rotation::rotate_master`].
    pub async fn adopt_master(&self) -> Result<u64> {
        let ring = self.keys.masters();
        let others: Vec<MasterKey> = ring.keys().filter(|key| key.id() != ring.current().id()).cloned().collect();
        let Some(old) = others.first() else { return Ok(0) };
        let state = master_keys::find(&mut self.store.read().await?, &old.id().to_string()).await?.map(|row| row.state);
        if state == Some(MasterKeyState::Retired) && !self.is_any_left(&ring).await? {
            return Ok(0);
        }
        self.announce(old, ring.current()).await?;
        let rewrapped = self.rewrap_all(&ring).await?;
        self.renew_check(&ring).await?;
        self.retire(old, &ring).await?;
        Ok(rewrapped)
    }

    async fn finish(&self, files: &MasterKeyFiles, old: MasterKey, ring: MasterRing, mut rewrapped: u64) -> Result<MasterRotation> {
        self.renew_check(&ring).await?;
        rewrapped += self.retire(&old, &ring).await?;
        self.cuts.at(Moment::MasterKeyRetired)?;
        let kept = files.put_away(&old)?;
        self.keys.set_masters(MasterRing::new(ring.current().clone(), Vec::new()));
        Ok(MasterRotation { old: old.id().to_string(), new: ring.current().id().to_string(), rewrapped, old_kept_at: Some(kept) })
    }

    async fn check(&self, ring: &MasterRing) -> Result<()> {
        match instance::find(&mut self.store.read().await?).await?.and_then(|row| row.key_check) {
            Some(check) => KeyCheck::from_bytes(check).verify(ring).map_err(sealed),
            None => Ok(()),
        }
    }

    async fn announce(&self, old: &MasterKey, new: &MasterKey) -> Result<()> {
        let new_id = new.id().to_string();
        let mut write = self.store.write().await?;
        master_keys::exclusive(&mut write).await?;
        let rows = master_keys::list(&mut write).await?;
        if rows.iter().any(|row| row.state == MasterKeyState::Pending && row.id != new_id) {
            let detail = "Another master key is being rotated in, from another machine. Finish that rotation where it was begun.";
            return Err(ControlError::refused(contract::Code::Conflict, detail));
        }
        if rows.iter().any(|row| row.id == new_id && row.state != MasterKeyState::Retired) {
            return Ok(());
        }
        master_keys::set(&mut write, &old.id().to_string(), MasterKeyState::Current, self.clock.now()).await?;
        master_keys::set(&mut write, &new_id, MasterKeyState::Pending, self.clock.now()).await?;
        self.record(&mut write, Uuid::nil(), "master_key.rotation_started", "master_key", new_id).await?;
        Ok(write.commit().await?)
    }

    /// Wraps every data key that names another master key, each in a unit of its own.
    async fn rewrap_all(&self, ring: &MasterRing) -> Result<u64> {
        let master = ring.current().id().to_string();
        let mut count = 0;
        loop {
            let rows = data_keys::list_under_other_master(&mut self.store.read().await?, &master, BATCH).await?;
            if rows.is_empty() {
                return Ok(count);
            }
            for row in rows {
                let wrapped =
                    WrappedDataKey::from_bytes(row.wrapped.clone()).and_then(|wrapped| wrapped.rewrap(ring, row.tenant, self.entropy));
                let wrapped = wrapped.map_err(sealed)?;
                let mut write = self.store.write().await?;
                if data_keys::rewrap(&mut write, &row, wrapped.as_bytes(), &master).await? {
                    count += 1;
                }
                write.commit_without_audit("the same data key under the new master key").await?;
                self.cuts.at(Moment::OneRewrapped)?;
            }
        }
    }

    async fn renew_check(&self, ring: &MasterRing) -> Result<()> {
        let mut write = self.store.write().await?;
        master_keys::exclusive(&mut write).await?;
        instance::ensure(&mut write, self.clock.now()).await?;
        let stored = instance::get_for_update(&mut write).await?.key_check.map(KeyCheck::from_bytes);
        if stored.is_none_or(|check| check.needs_renewal(ring)) {
            let check = KeyCheck::create(ring, self.entropy).map_err(sealed)?;
            instance::set_key_check(&mut write, check.as_bytes(), self.clock.now()).await?;
        }
        master_keys::set(&mut write, &ring.current().id().to_string(), MasterKeyState::Current, self.clock.now()).await?;
        write.commit_without_audit("the check of the master key follows it").await?;
        Ok(())
    }

    /// Retires the old key once no data key names it, wrapping what appeared meanwhile.
    async fn retire(&self, old: &MasterKey, ring: &MasterRing) -> Result<u64> {
        let mut rewrapped = 0;
        for _ in 0..PASSES_MAX {
            rewrapped += self.rewrap_all(ring).await?;
            let mut write = self.store.write().await?;
            master_keys::exclusive(&mut write).await?;
            if !data_keys::list_under_other_master(&mut write, &ring.current().id().to_string(), 1).await?.is_empty() {
                continue;
            }
            let old = old.id().to_string();
            if master_keys::find(&mut write, &old).await?.is_some_and(|row| row.state == MasterKeyState::Retired) {
                return Ok(rewrapped);
            }
            master_keys::set(&mut write, &old, MasterKeyState::Retired, self.clock.now()).await?;
            self.record(&mut write, Uuid::nil(), "master_key.rotated", "master_key", old).await?;
            write.commit().await?;
            return Ok(rewrapped);
        }
        Err(ControlError::Unavailable(
            "data keys are made under the old master key faster than they are wrapped anew; run the rotation again".to_owned(),
        ))
    }

    async fn is_any_left(&self, ring: &MasterRing) -> Result<bool> {
        let master = ring.current().id().to_string();
        Ok(!data_keys::list_under_other_master(&mut self.store.read().await?, &master, 1).await?.is_empty())
    }
}

fn sealed(error: vault::VaultError) -> ControlError {
    ControlError::Sealed(error.to_string())
}

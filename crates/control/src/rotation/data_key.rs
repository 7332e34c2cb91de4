//! A new data key for a tenant: everything it has sealed is sealed anew, while it is read and written.
//!
//! Order: (1) the next version is stored as `pending`; (2) it becomes `current` and the one before `retired`, which still
//! opens; (3) every value under the old one is sealed anew, unless it was changed meanwhile; (4) when none is left, the old
//! one gets its time of retirement; (5) a day later, if still nothing names it, it is destroyed.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use store::data_keys::{self, DataKeyProgress, KeyState};
use store::sealed::{self, SealedColumn};
use uuid::Uuid;
use vault::{DataKey, Place, Sealed};

use super::{Moment, Rotation};
use crate::error::{ControlError, Result};

/// Values sealed anew in one unit: short enough that writers do not notice.
const BATCH: i64 = 50;
/// How long a version without values stays: longer than any process works with a ring that it read before.
pub const RETIRED_KEPT: Duration = Duration::from_secs(24 * 3600);

/// What a rotation of a data key did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataKeyRotation {
    pub tenant: Uuid,
    pub version: u32,
    pub resealed: u64,
    /// Values that no key opens: they are left as they are, and the old version stays for them.
    pub unreadable: u64,
    /// False when values are left under the old version.
    pub finished: bool,
}

impl Rotation<'_> {
    /// Rotates the data key of an organization ([`crate::keys::INSTANCE`] for the instance's own), or finishes a rotation
    /// that was interrupted. `None` when the tenant has no key.
    ///
    /// # Errors
    /// `Sealed` when the master key does not open the tenant's keys.
    pub async fn rotate_data_key(&self, tenant: Uuid) -> Result<Option<DataKeyRotation>> {
        let known = data_keys::progress(&mut self.store.read().await?, tenant).await?;
        if known.is_empty() {
            return Ok(None);
        }
        self.keys.ready(self.store, tenant).await?;
        if !is_resealing(&known) {
            self.begin(tenant).await?;
            self.cuts.at(Moment::PendingStored)?;
            self.promote(tenant).await?;
            self.cuts.at(Moment::Promoted)?;
        }
        self.finish_data_key(tenant).await.map(Some)
    }

    /// Finishes rotations of data keys that were interrupted, and seals stragglers anew.
    ///
    /// # Errors
    /// Those of [`Rotation::rotate_data_key`].
    pub async fn resume_data_keys(&self) -> Result<Vec<DataKeyRotation>> {
        let mut tenants: Vec<Uuid> = Vec::new();
        for row in data_keys::list_progress(&mut self.store.read().await?).await? {
            if row.state != KeyState::Current && row.retired_at.is_none() && tenants.last() != Some(&row.tenant) {
                tenants.push(row.tenant);
            }
        }
        let mut done = Vec::with_capacity(tenants.len());
        for tenant in tenants {
            done.extend(self.rotate_data_key(tenant).await?);
        }
        Ok(done)
    }

    /// Destroys versions that have been without values for [`RETIRED_KEPT`].
    ///
    /// # Errors
    /// The database's.
    pub async fn destroy_retired(&self) -> Result<u64> {
        let mut destroyed = 0;
        for row in data_keys::list_progress(&mut self.store.read().await?).await? {
            if row.state != KeyState::Retired || !is_over(row.retired_at, self.clock.now()) {
                continue;
            }
            self.keys.ready(self.store, row.tenant).await?;
            if self.count_left(row.tenant).await? > 0 {
                // Somebody sealed with the old version after all: nothing is lost, it is sealed anew first.
                self.finish_data_key(row.tenant).await?;
                continue;
            }
            let mut write = self.store.write().await?;
            write.exclusive(&lock_name(row.tenant)).await?;
            if data_keys::delete_retired(&mut write, row.tenant, row.version).await? == 0 {
                continue;
            }
            self.record(&mut write, row.tenant, "data_key.destroyed", "data_key", row.version.to_string()).await?;
            write.commit().await?;
            destroyed += 1;
            self.keys.load(self.store, row.tenant).await?;
        }
        Ok(destroyed)
    }

    /// Two rotators at once: the second finds the pending version of the first and goes on with it.
    async fn begin(&self, tenant: Uuid) -> Result<()> {
        let mut write = self.store.write().await?;
        write.exclusive(&lock_name(tenant)).await?;
        let rows = data_keys::progress(&mut write, tenant).await?;
        if is_resealing(&rows) || rows.iter().any(|row| row.state == KeyState::Pending) {
            return Ok(());
        }
        let newest = rows.last().map_or(0, |row| row.version);
        let version = u32::try_from(newest + 1).map_err(anyhow::Error::new)?;
        let key = DataKey::generate(tenant, domain::id::uuid_v7(self.clock, self.entropy), version, self.entropy);
        let masters = self.keys.masters();
        let wrapped = key.wrap(&masters, self.entropy).map_err(vault_error)?;
        let master = masters.current().id().to_string();
        data_keys::insert_pending(&mut write, tenant, i64::from(version), wrapped.as_bytes(), &master, self.clock.now()).await?;
        self.record(&mut write, tenant, "data_key.rotation_started", "data_key", version.to_string()).await?;
        Ok(write.commit().await?)
    }

    async fn promote(&self, tenant: Uuid) -> Result<()> {
        let mut write = self.store.write().await?;
        write.exclusive(&lock_name(tenant)).await?;
        if data_keys::promote_pending(&mut write, tenant).await? {
            write.commit_without_audit("a step of a rotation whose begin and end are audited").await?;
        }
        Ok(())
    }

    async fn finish_data_key(&self, tenant: Uuid) -> Result<DataKeyRotation> {
        // Killed after the pending version was stored.
        self.promote(tenant).await?;
        self.keys.load(self.store, tenant).await?;
        let Some((id, version)) = self.keys.ring().current_version(tenant) else {
            return Err(ControlError::Internal(anyhow::anyhow!("tenant {tenant} has no current data key")));
        };
        let current = sealed::key_of(id, version);
        let (mut resealed, mut unreadable) = (0, 0);
        for column in sealed::by_data_keys() {
            let (done, bad) = self.reseal_column(column, tenant, &current).await?;
            resealed += done;
            unreadable += bad;
        }
        self.cuts.at(Moment::AllResealed)?;
        let mut write = self.store.write().await?;
        write.exclusive(&lock_name(tenant)).await?;
        let mut left = 0;
        for column in sealed::by_data_keys() {
            left += column.count_under_other_key(&mut write, tenant, &current).await?;
        }
        if left == 0 && data_keys::mark_retired(&mut write, tenant, self.clock.now()).await? > 0 {
            self.record(&mut write, tenant, "data_key.rotated", "data_key", version.to_string()).await?;
            write.commit().await?;
        }
        Ok(DataKeyRotation { tenant, version, resealed, unreadable, finished: left == 0 })
    }

    async fn reseal_column(&self, column: &SealedColumn, tenant: Uuid, current: &[u8]) -> Result<(u64, u64)> {
        let (mut done, mut unreadable, mut after) = (0, 0, Uuid::nil());
        loop {
            let rows = column.list_under_other_key(&mut self.store.read().await?, tenant, current, after, BATCH).await?;
            let Some(last) = rows.last() else { return Ok((done, unreadable)) };
            after = last.id;
            let mut ready = Vec::with_capacity(rows.len());
            for row in rows {
                let place = Place { tenant, table: column.table, column: column.column, row: row.id, name: "" };
                let again = Sealed::from_bytes(row.sealed.clone()).and_then(|sealed| self.keys.ring().reseal(&sealed, &place));
                match again {
                    Ok(again) => ready.push((row, again)),
                    Err(error) => {
                        unreadable += 1;
                        tracing::error!(table = column.table, row = %row.id, %error, "a sealed value does not open and stays under its old key");
                    }
                }
            }
            let mut write = self.store.write().await?;
            for (row, again) in ready {
                if column.replace(&mut write, row.id, &row.sealed, again.as_bytes()).await? {
                    done += 1;
                }
            }
            write.commit_without_audit("the same values under the new data key").await?;
            self.cuts.at(Moment::BatchResealed)?;
        }
    }

    async fn count_left(&self, tenant: Uuid) -> Result<i64> {
        let Some((id, version)) = self.keys.ring().current_version(tenant) else { return Ok(0) };
        let mut read = self.store.read().await?;
        let mut left = 0;
        for column in sealed::by_data_keys() {
            left += column.count_under_other_key(&mut read, tenant, &sealed::key_of(id, version)).await?;
        }
        Ok(left)
    }
}

/// Promoted, and values of the old version may be left.
fn is_resealing(rows: &[DataKeyProgress]) -> bool {
    rows.iter().any(|row| row.state == KeyState::Retired && row.retired_at.is_none())
}

fn is_over(retired_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    let kept = TimeDelta::from_std(RETIRED_KEPT).unwrap_or(TimeDelta::MAX);
    retired_at.and_then(|at| at.checked_add_signed(kept)).is_some_and(|end| end <= now)
}

fn lock_name(tenant: Uuid) -> String {
    format!("data_keys/{tenant}")
}

fn vault_error(error: vault::VaultError) -> ControlError {
    ControlError::Sealed(error.to_string())
}

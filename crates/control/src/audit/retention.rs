//! How long entries stay: for ever, or as many days as the instance's settings say.

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{Id, OrganizationId};
use store::audit::{self, Chain};

use crate::Control;
use crate::error::Result;

/// Entries go a day's worth at a time: each removal is an entry itself.
const BATCH: TimeDelta = TimeDelta::days(1);

impl Control {
    /// Removes entries that are older than the setting allows, and writes down that it did. Answers how many went.
    pub(crate) async fn purge_audit(&self, now: DateTime<Utc>) -> Result<u64> {
        let Some(days) = self.audit_days().await? else { return Ok(0) };
        let before = now - TimeDelta::days(i64::from(days));
        let chains = audit::list_chains(&mut self.store().read().await?).await?;
        let mut all = 0;
        for chain in chains {
            if !audit::has_before(&mut self.store().read().await?, chain, before - BATCH).await? {
                continue;
            }
            let mut write = self.store().write().await?;
            let Some((sequence, count)) = audit::remove_before(&mut write, chain, before).await? else { continue };
            let organization = match chain {
                Chain::Instance => None,
                Chain::Organization(id) => Some(OrganizationId::from_uuid(id.uuid())),
            };
            self.record_system(organization, crate::retention::PURGE, "audit.purged")
                .detail("through_sequence", sequence)
                .detail("entries", count)
                .detail("days", days)
                .append(&mut write)
                .await?;
            write.commit().await?;
            all += count;
        }
        Ok(all)
    }
}

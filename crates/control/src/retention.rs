//! What schedules call: purges by the retentions of the data map.

use async_trait::async_trait;
use chrono::TimeDelta;
use jobs::{Handler, JobError, Lease};
use store::jobs::{self as jobs_table, JobRow};
use store::{audit, idempotency, invitations, links, mails, sessions, throttles, tokens};
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::access::authenticate::SESSION_IDLE;
use crate::error::Result;

/// Addresses in the audit log are kept this long.
pub const AUDIT_ADDRESSES: TimeDelta = TimeDelta::hours(24);
/// Expired tokens are shown this long.
pub const TOKENS_EXPIRED: TimeDelta = TimeDelta::days(30);
/// Failures that are so old count no more.
pub const THROTTLES: TimeDelta = TimeDelta::hours(24);
/// Sent and failed mails (recipient and kind; the content is gone when they are sent).
pub const MAILS: TimeDelta = TimeDelta::days(30);

/// Ended jobs.
pub const JOBS: TimeDelta = TimeDelta::days(7);

/// How many rows a purge removed or emptied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    pub sessions: u64,
    pub links: u64,
    pub invitations: u64,
    pub tokens: u64,
    pub throttles: u64,
    pub mails: u64,
    pub idempotency_keys: u64,
    pub audit_addresses: u64,
    pub audit_entries: u64,
    pub jobs: u64,
}

impl Control {
    /// Removes what has expired. For a schedule of some minutes; each kind in a unit of its own, so none holds the writer long.
    pub async fn purge_expired(&self) -> Result<Purged> {
        let now = self.clock().now();
        let mut purged = Purged::default();
        macro_rules! purge {
            ($field:ident, |$write:ident| $call:expr) => {{
                let mut unit = self.store().write().await?;
                let $write = &mut unit;
                purged.$field = $call.await?;
                unit.commit_without_audit("retention of the data map").await?;
            }};
        }
        purge!(sessions, |write| sessions::purge(write, now, now - SESSION_IDLE));
        purge!(links, |write| links::purge(write, now));
        purge!(invitations, |write| invitations::purge(write, now));
        purge!(tokens, |write| tokens::purge(write, now - TOKENS_EXPIRED));
        purge!(throttles, |write| throttles::purge(write, now - THROTTLES));
        purge!(mails, |write| mails::purge(write, now - MAILS));
        purge!(idempotency_keys, |write| idempotency::delete_expired(write, now));
        purge!(audit_addresses, |write| audit::erase_source_addresses(write, now - AUDIT_ADDRESSES));
        purge!(jobs, |write| jobs_table::delete_finished(write, now - JOBS));
        purged.audit_entries = self.purge_audit(now).await?;
        Ok(purged)
    }
}

/// Kind of the job that calls [`Control::purge_expired`].
pub const PURGE: &str = "retention.purge";
/// Kind of the job that calls [`Control::warn_of_expiring_tokens`].
pub const WARN: &str = "tokens.warn";

pub struct PurgeJob(pub Control);

#[async_trait]
impl Handler for PurgeJob {
    fn kind(&self) -> &'static str {
        PURGE
    }

    async fn run(&self, _job: &JobRow, _lease: Lease, _cancel: CancellationToken) -> std::result::Result<(), JobError> {
        let purged = self.0.purge_expired().await.map_err(JobError::retry)?;
        tracing::debug!(?purged, "expired rows removed");
        Ok(())
    }
}

pub struct WarnOfTokensJob(pub Control);

#[async_trait]
impl Handler for WarnOfTokensJob {
    fn kind(&self) -> &'static str {
        WARN
    }

    async fn run(&self, _job: &JobRow, _lease: Lease, _cancel: CancellationToken) -> std::result::Result<(), JobError> {
        self.0.warn_of_expiring_tokens().await.map(|_| ()).map_err(JobError::retry)
    }
}

//! Sending what is in the outbox.

use ::mail::MailError;
use async_trait::async_trait;
use domain::id::MailId;
use jobs::{Handler, JobError, Lease};
use store::jobs::JobRow;
use store::mails::{self, MailState};
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::error::Result;

/// Name of the job that sends one mail; its payload is `{"mail": id}`.
pub const KIND: &str = "mail";

/// Sends one mail. A mail that was sent or given up is left alone, so a repeat is harmless; a crash between sending and
/// noting it sends twice with the same `Message-ID`.
///
/// # Errors
/// `Unavailable` when it may work later. A refusal for good is noted in the row and is no error.
pub async fn deliver(control: &Control, id: MailId) -> Result<()> {
    let Some(row) = mails::find(&mut control.store().read().await?, id).await? else { return Ok(()) };
    let (MailState::Queued, Some(payload)) = (row.state, &row.payload_sealed) else { return Ok(()) };
    let message = control.open_letter(&row, payload).await?;
    let outcome = control.mail().send(&message).await;
    let mut write = control.store().write().await?;
    let result = match outcome {
        Ok(_) => {
            mails::mark_sent(&mut write, id, control.clock().now()).await?;
            Ok(())
        }
        Err(MailError::Permanent(error)) => {
            tracing::warn!(mail = %id, kind = %row.kind, %error, "mail refused for good");
            mails::mark_failed(&mut write, id, &error, true).await?;
            Ok(())
        }
        Err(error @ MailError::Transient(_)) => {
            mails::mark_failed(&mut write, id, &error.to_string(), false).await?;
            Err(crate::ControlError::Unavailable(error.to_string()))
        }
    };
    write.commit_without_audit("outcome of sending a mail").await?;
    result
}

/// The job's handler.
pub struct DeliverMail(pub Control);

#[async_trait]
impl Handler for DeliverMail {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, job: &JobRow, _lease: Lease, _cancel: CancellationToken) -> std::result::Result<(), JobError> {
        let id = mail_of(job).ok_or_else(|| JobError::fail(anyhow::anyhow!("the job names no mail")))?;
        deliver(&self.0, id).await.map_err(JobError::retry)
    }

    async fn give_up(&self, job: &JobRow, _lease: Lease, reason: &str) -> std::result::Result<(), JobError> {
        let Some(id) = mail_of(job) else { return Ok(()) };
        let mut write = self.0.store().write().await?;
        mails::mark_failed(&mut write, id, reason, true).await?;
        write.commit_without_audit("a mail was given up").await?;
        Ok(())
    }
}

fn mail_of(job: &JobRow) -> Option<MailId> {
    job.payload.0.get("mail")?.as_str()?.parse().ok()
}

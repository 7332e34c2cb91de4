//! How a mail leaves. A transport tries once and says what became of it; the job queue decides what is next.

mod outbox_folder;
mod smtp;

use crate::Message;

pub use outbox_folder::OutboxFolder;
pub use smtp::{Encryption, InvalidSettings, SmtpCredentials, SmtpSettings, SmtpTransport};

/// What the next hop said when it took the mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub detail: String,
}

/// Why a mail did not leave. The texts hold the server's words, never a credential or the mail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// It may work later, or once the operator has changed something: try again.
    #[error("the mail could not be sent now: {0}")]
    Transient(String),
    /// The server refuses this mail or this addressee for good: do not try again.
    #[error("the mail was refused: {0}")]
    Permanent(String),
}

/// A way out for mail.
#[async_trait::async_trait]
pub trait Transport: Send + Sync {
    /// Hands one mail on.
    async fn send(&self, message: &Message) -> Result<Receipt, MailError>;
}

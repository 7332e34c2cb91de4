//! A composed mail: everything that is sent, fixed at the moment of its cause. The caller seals its bytes and stores them in
//! the outbox row; the job that sends it composes nothing anew.

use chrono::{DateTime, Utc};
use domain::id::MailId;
use domain::{Clock, Secret};
use serde::{Deserialize, Serialize};

use crate::{Address, Template, mime};

/// Mail programs cut longer mails (Gmail at 102 kB).
pub const MESSAGE_SIZE_BYTES_MAX: usize = 100_000;

/// Whether a mail can be switched off by its addressee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Account and anything asked for: always sent.
    Transactional,
    /// Deployments, services, servers: per channel and event.
    Operational,
}

impl Class {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::Operational => "operational",
        }
    }
}

/// Why a mail was not composed: a mistake of the caller, not of the addressee.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    #[error("a link in the mail {kind} is not a complete http or https URL")]
    InvalidLink { kind: &'static str },
    #[error("the mail {kind} has {size_bytes} bytes; at most {MESSAGE_SIZE_BYTES_MAX} are sent")]
    TooLarge { kind: &'static str, size_bytes: usize },
    #[error("the sender's domain is not a host name")]
    InvalidDomain,
    #[error("the mail {kind} cannot be rendered")]
    Render { kind: &'static str, source: askama::Error },
    #[error("the mail cannot be formed: {0}")]
    Mime(String),
    #[error("the stored mail is damaged")]
    Damaged,
}

/// In whose name mail leaves.
#[derive(Debug, Clone)]
pub struct Sender {
    from: Address,
    reply_to: Option<Address>,
    /// The right side of every `Message-ID`, and how the instance is named in the mail.
    domain: String,
}

impl Sender {
    /// # Errors
    /// [`ComposeError::InvalidDomain`].
    pub fn new(from: Address, reply_to: Option<Address>, domain: &str) -> Result<Self, ComposeError> {
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if domain.is_empty() || domain.len() > 253 || !domain.bytes().all(is_host) {
            return Err(ComposeError::InvalidDomain);
        }
        Ok(Self { from, reply_to, domain: domain.to_owned() })
    }

    /// Writes the mail. `id` is the id of the outbox row and becomes the `Message-ID`: a mail sent twice is recognised.
    ///
    /// # Errors
    /// [`ComposeError`]; none is mended by trying again.
    pub fn compose(&self, template: &Template, to: &Address, id: MailId, clock: &dyn Clock) -> Result<Message, ComposeError> {
        let kind = template.kind();
        let document = template.document();
        if !document.urls().all(is_complete_url) {
            return Err(ComposeError::InvalidLink { kind });
        }
        let (text, html) = document.render(&self.domain).map_err(|source| ComposeError::Render { kind, source })?;
        let message = Message {
            id: id.to_string(),
            kind: kind.to_owned(),
            class: template.class(),
            from: self.from.clone(),
            reply_to: self.reply_to.clone(),
            to: to.clone(),
            subject: document.subject,
            text,
            html,
            message_id: format!("<{id}@{}>", self.domain),
            date: clock.now(),
        };
        let size_bytes = message.to_eml()?.len();
        if size_bytes > MESSAGE_SIZE_BYTES_MAX {
            return Err(ComposeError::TooLarge { kind, size_bytes });
        }
        Ok(message)
    }
}

/// A mail, ready to be sent. It may hold codes and links: it is stored as [`Message::to_bytes`], whose result is a secret, and
/// its `Debug` shows no content.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub(crate) id: String,
    pub kind: String,
    pub class: Class,
    pub from: Address,
    pub reply_to: Option<Address>,
    pub to: Address,
    pub subject: String,
    pub text: String,
    pub html: String,
    pub message_id: String,
    pub date: DateTime<Utc>,
}

impl Message {
    /// The headers every mail of Seaway carries besides the usual ones.
    pub fn headers(&self) -> [(&'static str, String); 4] {
        [
            // No holiday answers, please (RFC 3834), not from Exchange either.
            ("Auto-Submitted", "auto-generated".to_owned()),
            ("X-Auto-Response-Suppress", "All".to_owned()),
            ("Feedback-ID", format!("{}:{}:seaway", self.kind, self.class.name())),
            ("X-Entity-Ref-ID", self.id.clone()),
        ]
    }

    /// The whole mail as it goes over the wire (RFC 5322).
    ///
    /// # Errors
    /// [`ComposeError::Mime`].
    pub fn to_eml(&self) -> Result<Vec<u8>, ComposeError> {
        mime::format(self).map(|formed| formed.formatted())
    }

    /// For the outbox row, sealed by the caller.
    ///
    /// # Errors
    /// [`ComposeError::Damaged`] only if it cannot be encoded, which does not happen.
    pub fn to_bytes(&self) -> Result<Secret<Vec<u8>>, ComposeError> {
        let stored = Stored {
            id: self.id.clone(),
            kind: self.kind.clone(),
            class: self.class,
            from: self.from.clone(),
            reply_to: self.reply_to.clone(),
            to: self.to.clone(),
            subject: self.subject.clone(),
            text: self.text.clone(),
            html: self.html.clone(),
            message_id: self.message_id.clone(),
            date: self.date,
        };
        serde_json::to_vec(&stored).map(Secret::new).map_err(|_| ComposeError::Damaged)
    }

    /// # Errors
    /// [`ComposeError::Damaged`] for bytes that [`Message::to_bytes`] did not make.
    pub fn from_bytes(bytes: &Secret<Vec<u8>>) -> Result<Self, ComposeError> {
        let stored: Stored = serde_json::from_slice(bytes.reveal()).map_err(|_| ComposeError::Damaged)?;
        let Stored { id, kind, class, from, reply_to, to, subject, text, html, message_id, date } = stored;
        Ok(Self { id, kind, class, from, reply_to, to, subject, text, html, message_id, date })
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Message({} {})", self.kind, self.message_id)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    id: String,
    kind: String,
    class: Class,
    from: Address,
    reply_to: Option<Address>,
    to: Address,
    subject: String,
    text: String,
    html: String,
    message_id: String,
    date: DateTime<Utc>,
}

fn is_complete_url(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    host.is_some_and(|host| host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '['))
        && url.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\'))
}

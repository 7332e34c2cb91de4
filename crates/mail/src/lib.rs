//! Mail: what Seaway writes to people ([`Template`]), how it becomes a message ([`Sender::compose`]), and how the message
//! leaves ([`Transport`]: SMTP, or a folder while SMTP is not configured).
//!
//! It must never: send from inside a request or a write unit (jobs call it after the commit); try again by itself (the job
//! queue does, told by [`MailError`] whether it may help); load anything from the network into a mail; build a link (links
//! come in whole, made from the configured base URL); let text of a user become a header or markup.
//!
//! To add a mail: a variant of [`Template`] and its document in `template`, a sample in `tests/it/samples.rs` (the golden
//! test fails without one). There is no markup to write: both parts are rendered from the same blocks.

mod address;
mod document;
mod message;
mod mime;
mod template;
mod text;
mod transport;

pub use address::{Address, InvalidAddress};
pub use message::{Class, ComposeError, MESSAGE_SIZE_BYTES_MAX, Message, Sender};
pub use template::{Commit, Origin, Template, Where};
pub use transport::{
    Encryption, InvalidSettings, MailError, OutboxFolder, Receipt, SmtpCredentials, SmtpSettings, SmtpTransport, Transport,
};

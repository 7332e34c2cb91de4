//! From a [`Message`] to lettre's: `multipart/alternative`, text first, quoted-printable, the same bytes every time.

use std::time::SystemTime;

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, MultiPart, SinglePart};

use crate::message::ComposeError;
use crate::{Message, text};

pub(crate) fn format(message: &Message) -> Result<lettre::Message, ComposeError> {
    let address = |address: &crate::Address| address.mailbox().map_err(mime_error);
    let mut builder = lettre::Message::builder()
        .from(address(&message.from)?)
        .to(address(&message.to)?)
        .subject(text::one_line(&message.subject, text::LINE_LENGTH_MAX))
        .message_id(Some(message.message_id.clone()))
        .date(SystemTime::from(message.date));
    if let Some(reply_to) = &message.reply_to {
        builder = builder.reply_to(address(reply_to)?);
    }
    for (name, value) in message.headers() {
        let name = HeaderName::new_from_ascii(name.to_owned()).map_err(mime_error)?;
        builder = builder.raw_header(HeaderValue::new(name, text::one_line(&value, text::LINE_LENGTH_MAX)));
    }
    // "=_" cannot occur in quoted-printable text, so the boundary is not in the parts.
    let body = MultiPart::alternative()
        .boundary(format!("=_{}", message.id))
        .singlepart(part(ContentType::TEXT_PLAIN, &message.text)?)
        .singlepart(part(ContentType::TEXT_HTML, &message.html)?);
    builder.multipart(body).map_err(mime_error)
}

fn part(content_type: ContentType, content: &str) -> Result<SinglePart, ComposeError> {
    let body = Body::new_with_encoding(content.to_owned(), ContentTransferEncoding::QuotedPrintable)
        .map_err(|_| ComposeError::Mime("a part cannot be encoded".to_owned()))?;
    Ok(SinglePart::builder().content_type(content_type).body(body))
}

fn mime_error(error: impl std::fmt::Display) -> ComposeError {
    ComposeError::Mime(error.to_string())
}

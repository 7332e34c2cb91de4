//! A mail transport that keeps what it was given.

use std::sync::{Mutex, PoisonError};

use mail::{MailError, Message, Receipt, Transport};

/// Mails that left, oldest first.
#[derive(Default)]
pub struct Mailbox {
    mails: Mutex<Vec<Message>>,
    failure: Mutex<Option<MailError>>,
}

impl Mailbox {
    /// Every mail to the address.
    pub fn to(&self, email: &str) -> Vec<Message> {
        let mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.iter().filter(|mail| mail.to.email() == email).cloned().collect()
    }

    /// The newest mail to the address of this kind.
    pub fn newest(&self, email: &str, kind: &str) -> Option<Message> {
        self.to(email).into_iter().rev().find(|mail| mail.kind == kind)
    }

    /// From now on every mail fails like this, until `None`.
    pub fn fail_with(&self, failure: Option<MailError>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

#[async_trait::async_trait]
impl Transport for Mailbox {
    async fn send(&self, message: &Message) -> Result<Receipt, MailError> {
        if let Some(failure) = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(failure);
        }
        self.mails.lock().unwrap_or_else(PoisonError::into_inner).push(message.clone());
        Ok(Receipt { detail: "kept".to_owned() })
    }
}

/// The one-use token of the first link in a mail.
pub fn token_in(mail: &Message) -> Option<String> {
    let rest = mail.text.split_once("#token=")?.1;
    Some(rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')).collect())
}

/// The six-digit code of a mail.
pub fn code_in(mail: &Message) -> Option<String> {
    let words = mail.subject.split(' ');
    words.into_iter().find(|word| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit())).map(str::to_owned)
}

//! Accounts: sign-up, verification, log-in, sessions, passwords, addresses.
//!
//! Invariant: no answer, status or time tells whether an address has an account; a mail to the address does.

mod delete;
mod email_change;
mod log_in;
mod passwords;
mod profile;
mod reset;
mod sessions;
mod sign_up;
mod throttle;
mod verify;

use chrono::{DateTime, TimeDelta, Utc};
use contract::accounts::{SignedIn, User};
use contract::{Code, FieldError};
use domain::Secret;
use domain::id::UserId;
use store::links::{LinkKind, LinkRow};
use store::users::UserRow;
use vault::token::OpaqueToken;

use crate::Control;
use crate::error::{ControlError, Result};

/// Letters of a person's or organization's name.
pub const NAME_LENGTH_MAX: usize = 100;
/// Mails of one kind that one address gets in an hour.
pub(crate) const MAILS_PER_HOUR_MAX: u32 = 3;

/// A session that has begun, with the value of its cookie.
pub struct NewSession {
    pub answer: SignedIn,
    pub cookie: Secret<String>,
}

pub(crate) fn shown(user: &UserRow) -> User {
    User {
        id: user.id,
        email: user.email.clone(),
        name: user.name.clone(),
        email_verified: user.email_verified_at.is_some(),
        operator: user.operator,
    }
}

/// The address as it is stored.
///
/// # Errors
/// `Invalid` at `/email`.
pub(crate) fn valid_email(email: &str) -> Result<String> {
    let email = email.trim();
    match ::mail::Address::new(email, None) {
        Ok(_) => Ok(email.to_owned()),
        Err(error) => Err(ControlError::invalid("/email", "email", format!("This is {error}. Use a form like ada@example.com."))),
    }
}

/// A name of one line that is not empty.
///
/// # Errors
/// `Invalid` at the pointer.
pub(crate) fn valid_name(pointer: &str, name: &str) -> Result<String> {
    let name = name.trim();
    let length = name.chars().count();
    if length == 0 || length > NAME_LENGTH_MAX || name.chars().any(char::is_control) {
        let detail = format!("A name has 1 to {NAME_LENGTH_MAX} characters on one line; this has {length}.");
        return Err(ControlError::Invalid(vec![FieldError::new(pointer, "name", detail)]));
    }
    Ok(name.to_owned())
}

pub(crate) fn gone(what: &str) -> ControlError {
    ControlError::refused(Code::Gone, format!("This {what} was used, replaced or has expired. Ask for a new one."))
}

impl Control {
    /// A new one-use link of a person and its token.
    pub(crate) fn new_link(&self, user: UserId, kind: LinkKind, life: TimeDelta) -> (LinkRow, Secret<String>) {
        let token = OpaqueToken::generate(self.entropy());
        let now = self.clock().now();
        let row = LinkRow {
            id: domain::id::uuid_v7(self.clock(), self.entropy()),
            kind,
            user_id: user,
            organization_id: None,
            digest: token.digest.as_bytes().to_vec(),
            code_digest: None,
            code_expires_at: None,
            attempts: 0,
            email: None,
            created_at: now,
            expires_at: now + life,
        };
        (row, token.text)
    }

    /// The living link of a presented token.
    ///
    /// # Errors
    /// `gone`.
    pub(crate) async fn find_link(&self, kind: LinkKind, presented: &Secret<String>) -> Result<LinkRow> {
        let digest = OpaqueToken::digest_of(presented.reveal()).ok_or_else(|| gone("link"))?;
        let link = store::links::find_by_digest(&mut self.store().read().await?, kind, digest.as_bytes()).await?;
        link.filter(|link| link.expires_at > self.clock().now()).ok_or_else(|| gone("link"))
    }

    /// Whether one more mail of this kind may go to the address now. What is refused is refused silently.
    pub(crate) fn may_mail(&self, kind: &str, email: &str, now: DateTime<Utc>) -> bool {
        let key = self.signer().sign(kind, store::users::email_key(email).as_bytes());
        self.windows().count(key, TimeDelta::hours(1), now) <= MAILS_PER_HOUR_MAX
    }
}

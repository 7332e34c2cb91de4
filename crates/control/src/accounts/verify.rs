//! Proving that the address is the person's own: by a code from the mail, or by its link.

use ::mail::Template;
use chrono::TimeDelta;
use contract::Code;
use contract::accounts::{Notice, VerifyEmail};
use domain::Secret;
use domain::id::{Id, UserId};
use store::links::{self, LinkKind, LinkRow};
use store::users::{self, UserRow, email_key};
use vault::token::{Code as SixDigits, Digest};

use super::{gone, valid_email};
use crate::Control;
use crate::access::Origin;
use crate::error::{ControlError, Result};
use crate::mail::{Addressee, Letter};

pub(super) const CODE_MINUTES: u32 = 15;
const LINK_HOURS: u32 = 24;
/// Tries of one code; then a new one is needed.
pub const CODE_ATTEMPTS_MAX: i64 = 5;

impl Control {
    /// Link, code and letter for a person's address.
    pub(super) async fn verification(&self, user: &UserRow) -> Result<(LinkRow, Letter)> {
        let (mut link, token) = self.new_link(user.id, LinkKind::VerifyEmail, TimeDelta::hours(i64::from(LINK_HOURS)));
        let code = SixDigits::generate(self.entropy());
        link.code_digest = Some(code.digest(self.signer(), &subject(user.id, &link)).as_bytes().to_vec());
        link.code_expires_at = Some(link.created_at + TimeDelta::minutes(i64::from(CODE_MINUTES)));
        let template = Template::VerifyEmail {
            code: code.text.reveal().clone(),
            code_minutes: CODE_MINUTES,
            link: self.link(&format!("verify-email#token={}", token.reveal())),
            link_hours: LINK_HOURS,
        };
        let letter = self.letter(&Addressee::from(user), None, &template).await?;
        Ok((link, letter))
    }

    /// Verifies by code or by link. Proves the address and nothing else: no session begins.
    ///
    /// # Errors
    /// `gone` for a wrong, used or expired code or link.
    pub async fn verify_email(&self, origin: &Origin, request: &VerifyEmail) -> Result<Notice> {
        let link = match (&request.token, &request.email, &request.code) {
            (Some(token), None, None) => self.find_link(LinkKind::VerifyEmail, token).await?,
            (None, Some(email), Some(code)) => self.link_of_code(email, code).await?,
            _ => return Err(ControlError::invalid("", "either-or", "Send either `token`, or `email` and `code`.")),
        };
        let now = self.clock().now();
        let mut write = self.store().write().await?;
        if !links::consume(&mut write, link.id).await? {
            return Err(gone("link"));
        }
        links::delete_of_user(&mut write, link.user_id, LinkKind::VerifyEmail).await?;
        users::mark_verified(&mut write, link.user_id, now).await?;
        self.forget_access_after(&mut write);
        self.record_visitor(Some(link.user_id), origin, "account.verified")
            .resource("account", link.user_id, None)
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(Notice { detail: "The e-mail address is verified. Sign in.".to_owned() })
    }

    async fn link_of_code(&self, email: &str, code: &Secret<String>) -> Result<LinkRow> {
        let wrong = || ControlError::refused(Code::Gone, "The code is wrong, used or expired. Check it, or ask for a new one.");
        let mut read = self.store().read().await?;
        let user = users::find_by_email(&mut read, &email_key(email)).await?.ok_or_else(wrong)?;
        let link = links::newest(&mut read, user.id, LinkKind::VerifyEmail).await?.ok_or_else(wrong)?;
        let mut write = self.store().write().await?;
        let counted = links::try_code(&mut write, link.id, CODE_ATTEMPTS_MAX).await?;
        write.commit_without_audit("one try of a code").await?;
        let stored = link.code_digest.as_deref().and_then(Digest::from_slice).ok_or_else(wrong)?;
        let typed = SixDigits::digest_of(code.reveal(), self.signer(), &subject(user.id, &link)).ok_or_else(wrong)?;
        let alive = link.code_expires_at.is_some_and(|end| end > self.clock().now());
        if counted && alive && typed.matches(&stored) { Ok(link) } else { Err(wrong()) }
    }

    /// Sends a new code; an earlier one stops working. The answer is the same for every address.
    pub async fn resend_verification(&self, email: &str) -> Result<Notice> {
        let email = valid_email(email)?;
        let notice = Notice { detail: format!("If an account of {email} waits to be verified, a mail with a new code is on its way.") };
        if !self.may_mail("verification", &email, self.clock().now()) {
            return Ok(notice);
        }
        let user = users::find_by_email(&mut self.store().read().await?, &email_key(&email)).await?;
        if let Some(user) = user.filter(|user| user.email_verified_at.is_none()) {
            let (link, letter) = self.verification(&user).await?;
            let mut write = self.store().write().await?;
            links::delete_of_user(&mut write, user.id, LinkKind::VerifyEmail).await?;
            links::insert(&mut write, &link).await?;
            self.post(&mut write, letter).await?;
            write.commit_without_audit("a new code takes the place of the old one").await?;
        }
        Ok(notice)
    }
}

/// What a code is good for: this account and this link.
pub(super) fn subject(user: UserId, link: &LinkRow) -> Vec<u8> {
    [user.uuid().as_bytes().as_slice(), link.id.as_bytes()].concat()
}

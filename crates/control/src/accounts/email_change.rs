//! Another address: proved by a mail to the new one, confirmed from a session, and called off by a mail to the old one.

use ::mail::Template;
use chrono::TimeDelta;
use contract::Code;
use contract::accounts::{ConfirmEmailChange, Notice, TokenOnly, User};
use domain::Secret;
use store::links::{self, LinkKind, LinkRow};
use store::sessions;
use store::users::{self, email_key};
use vault::token::{Code as SixDigits, Digest};

use super::verify::{CODE_ATTEMPTS_MAX, CODE_MINUTES, subject};
use super::{gone, shown, valid_email};
use crate::Control;
use crate::access::{Origin, Principal};
use crate::error::{ControlError, Result};
use crate::mail::Addressee;

const LINK_HOURS: u32 = 24;
const CANCEL_HOURS: u32 = 72;

impl Control {
    /// Begins the change. Whether the new address has an account is not told: then no mail goes there.
    pub async fn request_email_change(&self, principal: &Principal, origin: &Origin, email: &str) -> Result<Notice> {
        principal.require_session()?;
        let email = valid_email(email)?;
        let mut read = self.store().read().await?;
        let user = users::find(&mut read, principal.user).await?.ok_or(ControlError::NotFound("account"))?;
        if email_key(&email) == user.email_key {
            return Err(ControlError::invalid("/email", "same", "This is the account's address already."));
        }
        let notice = Notice { detail: format!("Open the link in the mail to {email} while you are signed in here.") };
        let now = self.clock().now();
        if !self.may_mail("e-mail change", &email, now) {
            return Ok(notice);
        }
        let taken = users::find_by_email(&mut read, &email_key(&email)).await?.is_some();
        let (mut change, token) = self.new_link(user.id, LinkKind::ChangeEmail, TimeDelta::hours(i64::from(LINK_HOURS)));
        change.email = Some(email.clone());
        let code = SixDigits::generate(self.entropy());
        change.code_digest = Some(code.digest(self.signer(), &subject(user.id, &change)).as_bytes().to_vec());
        change.code_expires_at = Some(now + TimeDelta::minutes(i64::from(CODE_MINUTES)));
        let (mut cancel, cancel_token) = self.new_link(user.id, LinkKind::CancelEmailChange, TimeDelta::hours(i64::from(CANCEL_HOURS)));
        cancel.email = Some(user.email.clone());
        let to_new = Template::EmailChangeVerify {
            code: code.text.reveal().clone(),
            code_minutes: CODE_MINUTES,
            link: self.link(&format!("confirm-email#token={}", token.reveal())),
            link_hours: LINK_HOURS,
        };
        let to_old = Template::EmailChangeNotice {
            new_email: email.clone(),
            at: now,
            origin: self.mail_origin(origin, None),
            cancel_link: self.link(&format!("cancel-email-change#token={}", cancel_token.reveal())),
            cancel_hours: CANCEL_HOURS,
        };
        let addressee = Addressee { user: Some(user.id), email, name: Some(user.name.clone()) };
        let new_letter = self.letter(&addressee, None, &to_new).await?;
        let old_letter = self.letter(&Addressee::from(&user), None, &to_old).await?;
        let mut write = self.store().write().await?;
        links::delete_of_user(&mut write, user.id, LinkKind::ChangeEmail).await?;
        links::insert(&mut write, &cancel).await?;
        self.post(&mut write, old_letter).await?;
        if !taken {
            links::insert(&mut write, &change).await?;
            self.post(&mut write, new_letter).await?;
        }
        self.record_own(principal, origin, "account.email_change_requested").resource("account", user.id, None).append(&mut write).await?;
        write.commit().await?;
        Ok(notice)
    }

    /// Makes the new address the account's: the link's token, from a session of the account. Other sessions end.
    ///
    /// # Errors
    /// `gone` for a link of somebody else too.
    pub async fn confirm_email_change(&self, principal: &Principal, origin: &Origin, request: &ConfirmEmailChange) -> Result<User> {
        let session = principal.require_session()?;
        let link = match (&request.token, &request.code) {
            (Some(token), None) => self.find_link(LinkKind::ChangeEmail, token).await?,
            (None, Some(code)) => self.change_of_code(principal, code).await?,
            _ => return Err(ControlError::invalid("", "either-or", "Send either `token` or `code`.")),
        };
        let (true, Some(email)) = (link.user_id == principal.user, link.email.as_deref()) else { return Err(gone("link")) };
        let now = self.clock().now();
        let mut write = self.store().write().await?;
        if !links::consume(&mut write, link.id).await? {
            return Err(gone("link"));
        }
        match users::update_email(&mut write, principal.user, email, now).await {
            Err(error) if error.is_conflict_of("users_email_key") => {
                return Err(ControlError::refused(Code::Conflict, "The address cannot be used. Choose another."));
            }
            other => other?,
        }
        links::delete_of_user(&mut write, principal.user, LinkKind::ResetPassword).await?;
        sessions::delete_others(&mut write, principal.user, Some(session)).await?;
        self.forget_access_after(&mut write);
        self.record_own(principal, origin, "account.email_changed").resource("account", principal.user, None).append(&mut write).await?;
        let user = users::get_for_update(&mut write, principal.user).await?;
        write.commit().await?;
        Ok(shown(&user))
    }

    async fn change_of_code(&self, principal: &Principal, code: &Secret<String>) -> Result<LinkRow> {
        let wrong = || ControlError::refused(Code::Gone, "The code is wrong, used or expired. Check it, or begin the change again.");
        let link = links::newest(&mut self.store().read().await?, principal.user, LinkKind::ChangeEmail).await?.ok_or_else(wrong)?;
        let mut write = self.store().write().await?;
        let counted = links::try_code(&mut write, link.id, CODE_ATTEMPTS_MAX).await?;
        write.commit_without_audit("one try of a code").await?;
        let stored = link.code_digest.as_deref().and_then(Digest::from_slice).ok_or_else(wrong)?;
        let typed = SixDigits::digest_of(code.reveal(), self.signer(), &subject(principal.user, &link)).ok_or_else(wrong)?;
        let alive = link.code_expires_at.is_some_and(|end| end > self.clock().now());
        if counted && alive && typed.matches(&stored) { Ok(link) } else { Err(wrong()) }
    }

    /// From the mail to the old address: the change is called off or taken back, and every session ends.
    pub async fn cancel_email_change(&self, origin: &Origin, request: &TokenOnly) -> Result<Notice> {
        let link = self.find_link(LinkKind::CancelEmailChange, &request.token).await?;
        let old = link.email.clone().ok_or_else(|| gone("link"))?;
        let mut write = self.store().write().await?;
        if !links::consume(&mut write, link.id).await? {
            return Err(gone("link"));
        }
        let user = users::get_for_update(&mut write, link.user_id).await?;
        links::delete_of_user(&mut write, user.id, LinkKind::ChangeEmail).await?;
        links::delete_of_user(&mut write, user.id, LinkKind::ResetPassword).await?;
        if user.email_key != email_key(&old) {
            users::update_email(&mut write, user.id, &old, self.clock().now()).await?;
        }
        sessions::delete_others(&mut write, user.id, None).await?;
        self.forget_access_after(&mut write);
        self.record_visitor(Some(user.id), origin, "account.email_change_canceled")
            .resource("account", user.id, None)
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(Notice { detail: "The address stays as it was and every session has ended. Reset the password if it was not you.".to_owned() })
    }
}

//! A new password: with the old one, or by a link in a mail.

use ::mail::Template;
use chrono::TimeDelta;
use contract::accounts::{ChangePassword, Notice, ResetPassword};
use store::links::{self, LinkKind};
use store::users::{self, email_key};
use store::{sessions, throttles};
use vault::password::Context;

use super::{NewSession, gone, valid_email};
use crate::Control;
use crate::access::{Origin, Principal};
use crate::error::Result;
use crate::mail::Addressee;

const LINK_MINUTES: u32 = 60;

impl Control {
    /// Changes the password. Every other session ends, this one gets a new cookie; tokens stay.
    ///
    /// # Errors
    /// `Invalid` for a wrong current or a weak new password.
    pub async fn change_password(
        &self,
        principal: &Principal,
        origin: &Origin,
        device: Option<&str>,
        request: &ChangePassword,
    ) -> Result<NewSession> {
        let session = principal.require_session()?;
        let user = self.confirm_password(principal, origin, &request.current_password, "/current_password").await?;
        Self::check_password("/new_password", &request.new_password, &Context { email: &user.email, name: &user.name, organization: "" })?;
        let hash = self.hash_password(&request.new_password).await?;
        let now = self.clock().now();
        let template =
            Template::PasswordChanged { at: now, origin: self.mail_origin(origin, device), reset_link: self.link("reset-password") };
        let letter = self.letter(&Addressee::from(&user), None, &template).await?;
        let mut write = self.store().write().await?;
        users::update_password(&mut write, user.id, &hash, now).await?;
        sessions::delete_others(&mut write, user.id, Some(session)).await?;
        links::delete_of_user(&mut write, user.id, LinkKind::ResetPassword).await?;
        let renewed = self.rotate_session(&mut write, &user, session).await?;
        self.post(&mut write, letter).await?;
        self.record_own(principal, origin, "account.password_changed").resource("account", user.id, None).append(&mut write).await?;
        write.commit().await?;
        Ok(renewed)
    }

    /// Sends a link, or a mail that there is no account. The answer is the same.
    pub async fn request_password_reset(&self, origin: &Origin, email: &str) -> Result<Notice> {
        let email = valid_email(email)?;
        let notice = Notice { detail: format!("A mail to {email} says how to go on. It may take a minute.") };
        if !self.may_mail("reset", &email, self.clock().now()) {
            return Ok(notice);
        }
        let user = users::find_by_email(&mut self.store().read().await?, &email_key(&email)).await?;
        match user {
            Some(user) => {
                let (link, token) = self.new_link(user.id, LinkKind::ResetPassword, TimeDelta::minutes(i64::from(LINK_MINUTES)));
                let url = self.link(&format!("reset-password#token={}", token.reveal()));
                let template = Template::PasswordReset { link: url, link_minutes: LINK_MINUTES };
                let letter = self.letter(&Addressee::from(&user), None, &template).await?;
                let mut write = self.store().write().await?;
                links::delete_of_user(&mut write, user.id, LinkKind::ResetPassword).await?;
                links::insert(&mut write, &link).await?;
                self.post(&mut write, letter).await?;
                self.record_visitor(Some(user.id), origin, "account.reset_requested").append(&mut write).await?;
                write.commit().await?;
            }
            None => {
                let to = Addressee { user: None, email, name: None };
                let template = Template::PasswordResetUnknown { sign_up_link: self.link("sign-up") };
                let letter = self.letter(&to, None, &template).await?;
                let mut write = self.store().write().await?;
                self.post(&mut write, letter).await?;
                self.record_visitor(None, origin, "account.reset_requested").append(&mut write).await?;
                write.commit().await?;
            }
        }
        Ok(notice)
    }

    /// For the operator at the machine, when no mail arrives: the link itself. `None`: there is no such account.
    ///
    /// # Errors
    /// The database's.
    pub async fn password_reset_link(&self, email: &str) -> Result<Option<domain::Secret<String>>> {
        let email = valid_email(email)?;
        let Some(user) = users::find_by_email(&mut self.store().read().await?, &email_key(&email)).await? else { return Ok(None) };
        let (link, token) = self.new_link(user.id, LinkKind::ResetPassword, TimeDelta::minutes(i64::from(LINK_MINUTES)));
        let mut write = self.store().write().await?;
        links::delete_of_user(&mut write, user.id, LinkKind::ResetPassword).await?;
        links::insert(&mut write, &link).await?;
        let actor = store::audit::Actor::system("operator");
        let record = store::audit::Record {
            resource: Some(store::audit::Resource { kind: "account", id: user.id.to_string(), name: None }),
            ..store::audit::Record::new(store::audit::Chain::Instance, actor, "account.reset_link_printed")
        };
        store::audit::append(&mut write, self.clock(), self.entropy(), record).await?;
        write.commit().await?;
        Ok(Some(domain::Secret::new(self.link(&format!("reset-password#token={}", token.reveal())))))
    }

    /// Sets a new password by the link. Every session ends, and none begins.
    ///
    /// # Errors
    /// `gone` for a used or expired link, `Invalid` for a weak password.
    pub async fn reset_password(&self, origin: &Origin, request: &ResetPassword) -> Result<Notice> {
        let link = self.find_link(LinkKind::ResetPassword, &request.token).await?;
        let user = users::find(&mut self.store().read().await?, link.user_id).await?.ok_or_else(|| gone("link"))?;
        Self::check_password("/password", &request.password, &Context { email: &user.email, name: &user.name, organization: "" })?;
        let hash = self.hash_password(&request.password).await?;
        let now = self.clock().now();
        let template =
            Template::PasswordChanged { at: now, origin: self.mail_origin(origin, None), reset_link: self.link("reset-password") };
        let letter = self.letter(&Addressee::from(&user), None, &template).await?;
        let mut write = self.store().write().await?;
        if !links::consume(&mut write, link.id).await? {
            return Err(gone("link"));
        }
        users::update_password(&mut write, user.id, &hash, now).await?;
        sessions::delete_others(&mut write, user.id, None).await?;
        throttles::clear(&mut write, &self.throttle_key(&user.email)).await?;
        self.forget_access_after(&mut write);
        self.post(&mut write, letter).await?;
        self.record_visitor(Some(user.id), origin, "account.password_reset").resource("account", user.id, None).append(&mut write).await?;
        write.commit().await?;
        Ok(Notice { detail: "The password is changed and every session has ended. Sign in with the new password.".to_owned() })
    }
}

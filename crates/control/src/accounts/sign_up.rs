use ::mail::Template;
use contract::Code;
use contract::accounts::{Notice, SignUp};
use domain::Secret;
use domain::id::UserId;
use store::users::{self, UserRow, email_key};
use store::{Json, invitations};
use vault::password::Context;
use vault::token::OpaqueToken;

use super::{valid_email, valid_name};
use crate::Control;
use crate::access::Origin;
use crate::error::{ControlError, Result};
use crate::mail::Addressee;

impl Control {
    /// Makes an account whose address must then be verified. An address that has one gets a mail that says so; the answer is
    /// the same.
    ///
    /// # Errors
    /// `sign-up-closed` by the instance's setting, `Invalid` for the fields.
    pub async fn sign_up(&self, origin: &Origin, request: &SignUp) -> Result<Notice> {
        let email = valid_email(&request.email)?;
        let name = valid_name("/name", &request.name)?;
        self.may_sign_up(&email, request.invitation.as_ref()).await?;
        Self::check_password("/password", &request.password, &Context { email: &email, name: &name, organization: "" })?;
        // Before the look-up: an address that is known costs the same.
        let hash = self.hash_password(&request.password).await?;
        let now = self.clock().now();
        let notice = Notice { detail: format!("Look into the mailbox of {email}: a mail there says how to go on.") };
        if !self.may_mail("sign-up", &email, now) {
            return Ok(notice);
        }
        let known = users::find_by_email(&mut self.store().read().await?, &email_key(&email)).await?;
        if let Some(user) = known {
            let template = Template::AccountExists { log_in_link: self.link("log-in"), reset_link: self.link("reset-password") };
            let letter = self.letter(&Addressee::from(&user), None, &template).await?;
            self.post_alone(letter).await?;
            return Ok(notice);
        }
        let user = UserRow {
            id: UserId::new(self.clock(), self.entropy()),
            email_key: email_key(&email),
            email,
            name,
            password_hash: Some(hash),
            email_verified_at: None,
            operator: false,
            settings: Json(serde_json::json!({})),
            version: 1,
            password_changed_at: Some(now),
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        let (link, letter) = self.verification(&user).await?;
        let mut write = self.store().write().await?;
        match users::insert(&mut write, &user).await {
            // Somebody was faster with the same address: that mail goes out.
            Err(error) if error.is_conflict_of("users_email_key") => return Ok(notice),
            other => other?,
        }
        store::links::insert(&mut write, &link).await?;
        self.post(&mut write, letter).await?;
        self.record_visitor(Some(user.id), origin, "account.created").resource("account", user.id, None).append(&mut write).await?;
        write.commit().await?;
        Ok(notice)
    }

    async fn may_sign_up(&self, email: &str, invitation: Option<&Secret<String>>) -> Result<()> {
        let mut read = self.store().read().await?;
        let mode = store::instance::find(&mut read).await?.map_or(store::instance::SignUp::Closed, |row| row.sign_up);
        let closed = |detail: &str| ControlError::refused(Code::SignUpClosed, detail);
        match mode {
            store::instance::SignUp::Open => Ok(()),
            store::instance::SignUp::Closed => Err(closed("This instance takes no new accounts. Ask its operator.")),
            store::instance::SignUp::Invitation => {
                let invited = match invitation.and_then(|token| OpaqueToken::digest_of(token.reveal())) {
                    None => None,
                    Some(digest) => invitations::find_by_digest(&mut read, digest.as_bytes()).await?,
                };
                match invited {
                    Some(row) if row.expires_at > self.clock().now() && row.email_key == email_key(email) => Ok(()),
                    _ => Err(closed("Accounts are by invitation here. Open the link of an invitation to this address, and sign up there.")),
                }
            }
        }
    }
}

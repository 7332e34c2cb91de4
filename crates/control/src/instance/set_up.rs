//! The first start: a one-time link, printed where only the machine's owner reads it, makes the first account.

use contract::Code;
use contract::instance::SetUp;
use domain::Secret;
use domain::id::UserId;
use store::users::{self, UserRow, email_key};
use store::{Json, instance};
use vault::password::Context;
use vault::token::{Digest, OpaqueToken};

use super::Settings;
use crate::Control;
use crate::access::{Origin, Principal, Via};
use crate::accounts::{NewSession, valid_email, valid_name};
use crate::error::{ControlError, Result};

impl Control {
    /// Call it once at each start. While nobody operates the instance: a new set-up link (an earlier one stops working).
    pub async fn setup_link(&self) -> Result<Option<Secret<String>>> {
        let now = self.clock().now();
        let mut write = self.store().write().await?;
        instance::ensure(&mut write, now).await?;
        if users::has_operator(&mut write).await? {
            write.commit_without_audit("the settings' row is made at the first start").await?;
            return Ok(None);
        }
        let token = OpaqueToken::generate(self.entropy());
        instance::set_setup_token(&mut write, Some(token.digest.as_bytes()), now).await?;
        write.commit_without_audit("a new set-up link at each start until one is used").await?;
        Ok(Some(Secret::new(self.link(&format!("setup#token={}", token.text.reveal())))))
    }

    /// Makes the operator's account, an organization of it and a session.
    ///
    /// # Errors
    /// `NotFound` once the instance has an operator, `gone` for another token, `Invalid` for the fields.
    pub async fn set_up(&self, origin: &Origin, device: Option<&str>, request: &SetUp) -> Result<NewSession> {
        let mut read = self.store().read().await?;
        if users::has_operator(&mut read).await? {
            return Err(ControlError::NotFound("set-up"));
        }
        let row = instance::find(&mut read).await?.ok_or(ControlError::NotFound("set-up"))?;
        if !is_token(row.setup_token_digest.as_deref(), &request.token) {
            return Err(wrong_link());
        }
        let email = valid_email(&request.email)?;
        let name = valid_name("/name", &request.name)?;
        let organization_name = valid_name("/organization_name", &request.organization_name)?;
        Self::check_password("/password", &request.password, &Context { email: &email, name: &name, organization: &organization_name })?;
        let hash = self.hash_password(&request.password).await?;
        let now = self.clock().now();
        let user = UserRow {
            id: UserId::new(self.clock(), self.entropy()),
            email_key: email_key(&email),
            email,
            name,
            password_hash: Some(hash),
            // Whoever reads the machine's console needs no mail to prove who they are; mail may not even work yet.
            email_verified_at: Some(now),
            operator: true,
            settings: Json(serde_json::json!({})),
            version: 1,
            password_changed_at: Some(now),
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        let mut write = self.store().write().await?;
        let row = instance::get_for_update(&mut write).await?;
        if users::has_operator(&mut write).await? || !is_token(row.setup_token_digest.as_deref(), &request.token) {
            return Err(wrong_link());
        }
        instance::set_setup_token(&mut write, None, now).await?;
        let settings = Settings { analytics: request.analytics, ..Settings::of(&row) };
        let value = serde_json::to_value(&settings).map_err(anyhow::Error::new)?;
        instance::update(&mut write, row.sign_up, &value, row.version, now).await?;
        users::insert(&mut write, &user).await?;
        let (session, cookie) = self.begin_session(&mut write, &user, device.map(str::to_owned), origin, now).await?;
        let via = Via::Session { id: session.id, fresh_for_step_up: true, csrf: String::new() };
        let principal =
            Principal { user: user.id, email: user.email.clone(), name: user.name.clone(), email_verified: true, via, operator: true };
        self.insert_organization(&mut write, &principal, origin, &organization_name, None).await?;
        self.record_own(&principal, origin, "instance.set_up").resource("account", user.id, None).append(&mut write).await?;
        write.commit().await?;
        Ok(self.new_session(&user, &session, cookie))
    }
}

fn is_token(stored: Option<&[u8]>, presented: &Secret<String>) -> bool {
    match (stored.and_then(Digest::from_slice), OpaqueToken::digest_of(presented.reveal())) {
        (Some(stored), Some(presented)) => stored.matches(&presented),
        _ => false,
    }
}

fn wrong_link() -> ControlError {
    ControlError::refused(Code::Gone, "This set-up link does not work (any more). Seaway prints a new one at each start until one is used.")
}

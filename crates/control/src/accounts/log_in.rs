use ::mail::Template;
use chrono::{DateTime, Utc};
use contract::Code;
use contract::accounts::{LogIn, SignedIn};
use domain::Secret;
use domain::id::SessionId;
use store::sessions::{self, SessionRow};
use store::users::{self, UserRow, email_key};
use store::{Write, throttles};
use vault::password::Verdict;
use vault::token::OpaqueToken;

use super::NewSession;
use crate::Control;
use crate::access::authenticate::SESSION_LIFE;
use crate::access::{Origin, Principal};
use crate::error::{ControlError, Result};
use crate::mail::Addressee;

const DEVICE_LENGTH_MAX: usize = 200;

impl Control {
    /// Begins a session. `device`: what the browser says it is.
    ///
    /// # Errors
    /// `credentials-invalid` for every wrong pair alike, `RateLimited` after failures.
    pub async fn log_in(&self, origin: &Origin, device: Option<&str>, request: &LogIn) -> Result<NewSession> {
        let key = self.throttle_key(&request.email);
        self.check_throttle(&key, origin).await?;
        let mut read = self.store().read().await?;
        let user = users::find_by_email(&mut read, &email_key(&request.email)).await?;
        let stored = user.as_ref().and_then(|user| user.password_hash.clone());
        let verdict = self.password_verdict(&request.password, stored).await?;
        let (Some(user), Verdict::Right | Verdict::RightButOutdated) = (&user, verdict) else {
            self.note_failure(&key, user.map(|user| user.id), origin, "session.refused").await?;
            return Err(ControlError::refused(
                Code::CredentialsInvalid,
                "The e-mail address or the password is wrong. Check both, or reset the password.",
            ));
        };
        let rehashed = match verdict {
            Verdict::RightButOutdated => Some(self.hash_password(&request.password).await?),
            _ => None,
        };
        let now = self.clock().now();
        let device = device.map(|device| device.chars().filter(|one| !one.is_control()).take(DEVICE_LENGTH_MAX).collect::<String>());
        let letter = self.new_device_letter(user, device.as_deref(), origin, now).await?;
        let mut write = self.store().write().await?;
        throttles::clear(&mut write, &key).await?;
        if let Some(hash) = rehashed {
            users::update_password(&mut write, user.id, &hash, user.password_changed_at.unwrap_or(now)).await?;
        }
        let (session, cookie) = self.begin_session(&mut write, user, device, origin, now).await?;
        if let Some(letter) = letter {
            self.post(&mut write, letter).await?;
        }
        self.record_visitor(Some(user.id), origin, "session.created").resource("session", session.id, None).append(&mut write).await?;
        write.commit().await?;
        Ok(self.new_session(user, &session, cookie))
    }

    /// The row of a new session, inserted.
    pub(crate) async fn begin_session(
        &self,
        write: &mut Write,
        user: &UserRow,
        device: Option<String>,
        origin: &Origin,
        now: DateTime<Utc>,
    ) -> Result<(SessionRow, Secret<String>)> {
        let token = OpaqueToken::generate(self.entropy());
        let session = SessionRow {
            id: SessionId::new(self.clock(), self.entropy()),
            user_id: user.id,
            digest: token.digest.as_bytes().to_vec(),
            created_at: now,
            last_used_at: now,
            confirmed_at: now,
            expires_at: now + SESSION_LIFE,
            device,
            source_address: origin.address.map(crate::audit::truncated),
        };
        sessions::insert(write, &session).await?;
        Ok((session, token.text))
    }

    pub(crate) fn new_session(&self, user: &UserRow, session: &SessionRow, cookie: Secret<String>) -> NewSession {
        let csrf_token = self.csrf_of(session.id, &session.digest);
        NewSession { answer: SignedIn { user: super::shown(user), csrf_token, expires_at: session.expires_at }, cookie }
    }

    async fn new_device_letter(
        &self,
        user: &UserRow,
        device: Option<&str>,
        origin: &Origin,
        now: DateTime<Utc>,
    ) -> Result<Option<crate::mail::Letter>> {
        let mut read = self.store().read().await?;
        // Nobody wants a warning about the first log-in ever, and an address that is not verified gets no mails but its code.
        let first = sessions::list(&mut read, user.id, &store::Page { limit: 1, after: None }).await?.rows.is_empty();
        if first || user.email_verified_at.is_none() || sessions::knows_device(&mut read, user.id, device).await? {
            return Ok(None);
        }
        let template =
            Template::NewSignIn { at: now, origin: self.mail_origin(origin, device), sessions_link: self.link("account/sessions") };
        self.letter(&Addressee::from(user), None, &template).await.map(Some)
    }

    /// Ends the session that asks.
    pub async fn log_out(&self, principal: &Principal, origin: &Origin) -> Result<()> {
        let session = principal.require_session()?;
        let mut write = self.store().write().await?;
        sessions::delete(&mut write, principal.user, session).await?;
        self.forget_access_after(&mut write);
        self.record_own(principal, origin, "session.ended").resource("session", session, None).append(&mut write).await?;
        write.commit().await?;
        Ok(())
    }

    /// The password once more: for some minutes the session may do what is sensitive. The session gets a new cookie.
    ///
    /// # Errors
    /// `credentials-invalid`, `RateLimited` as for the log-in.
    pub async fn step_up(&self, principal: &Principal, origin: &Origin, password: &Secret<String>) -> Result<NewSession> {
        let session = principal.require_session()?;
        let user = self.confirm_password(principal, origin, password, "").await?;
        let mut write = self.store().write().await?;
        let renewed = self.rotate_session(&mut write, &user, session).await?;
        self.record_own(principal, origin, "session.confirmed").resource("session", session, None).append(&mut write).await?;
        write.commit().await?;
        Ok(renewed)
    }

    /// The principal's own password, throttled like a log-in.
    pub(super) async fn confirm_password(
        &self,
        principal: &Principal,
        origin: &Origin,
        password: &Secret<String>,
        pointer: &str,
    ) -> Result<UserRow> {
        let key = self.throttle_key(&principal.email);
        self.check_throttle(&key, origin).await?;
        let user = users::find(&mut self.store().read().await?, principal.user).await?.ok_or(ControlError::NotFound("account"))?;
        match self.password_verdict(password, user.password_hash.clone()).await? {
            Verdict::Right | Verdict::RightButOutdated => Ok(user),
            Verdict::Wrong => {
                self.note_failure(&key, Some(user.id), origin, "session.confirmation_refused").await?;
                match pointer {
                    "" => Err(ControlError::refused(Code::CredentialsInvalid, "The password is wrong.")),
                    pointer => Err(ControlError::invalid(pointer, "wrong", "The password is wrong.")),
                }
            }
        }
    }

    /// A new cookie and a fresh password for the session.
    pub(super) async fn rotate_session(&self, write: &mut Write, user: &UserRow, session: SessionId) -> Result<NewSession> {
        let token = OpaqueToken::generate(self.entropy());
        let now = self.clock().now();
        sessions::rotate(write, user.id, session, token.digest.as_bytes(), now).await?;
        self.forget_access_after(write);
        let row = sessions::find_by_digest(write, token.digest.as_bytes()).await?.ok_or(ControlError::NotFound("session"))?;
        Ok(self.new_session(user, &row, token.text))
    }
}

//! Who sends a request: a session's cookie or a token becomes a [`Principal`].

use chrono::{DateTime, TimeDelta, Utc};
use contract::Code;
use domain::id::{Id, SessionId};
use ipnet::IpNet;
use store::sessions::SessionRow;
use store::users::UserRow;
use store::{sessions, tokens, users};
use vault::token::{Digest, OpaqueToken, PersonalToken};

use super::{Origin, Presented, Principal, Restriction, Via};
use crate::Control;
use crate::error::{ControlError, Result};

/// A session that is not used for so long has ended.
pub const SESSION_IDLE: TimeDelta = TimeDelta::minutes(60);
/// A session ends after this time in any case.
pub const SESSION_LIFE: TimeDelta = TimeDelta::hours(24);
/// How long a given password counts as fresh.
pub const STEP_UP: TimeDelta = TimeDelta::minutes(5);
/// Last use is written at most this often.
const TOUCH_EVERY: TimeDelta = TimeDelta::minutes(1);

impl Control {
    /// Finds out who sends a request.
    ///
    /// # Errors
    /// `unauthenticated` for anything that is not a live session or token; `address-forbidden` for a token from elsewhere.
    pub async fn authenticate(&self, presented: Presented<'_>, origin: &Origin) -> Result<Principal> {
        let (digest, token) = match presented {
            Presented::SessionCookie(text) => (OpaqueToken::digest_of(text).ok_or_else(unauthenticated)?, None),
            Presented::Bearer(text) => {
                let token = PersonalToken::parse(text)
                    .map_err(|error| ControlError::refused(Code::Unauthenticated, format!("The token is {error}.")))?;
                (token.digest, Some(token.id))
            }
        };
        let key: [u8; 32] = digest.as_bytes().try_into().map_err(|_| unauthenticated())?;
        let now = self.clock().now();
        let look = self.principals().look(now, self.store().standing());
        let principal = match self.principals().get(&key, &look) {
            Some(principal) => principal,
            None => {
                let principal = match token {
                    None => self.of_session(&digest, now).await?,
                    Some(id) => self.of_token(id, &digest, now).await?,
                };
                self.principals().put(key, principal.clone(), look);
                principal
            }
        };
        if let Via::Token { restriction: Restriction { addresses: Some(allowed), .. }, .. } = &principal.via {
            let inside = origin.address.is_some_and(|address| allowed.iter().any(|network| network.contains(&address)));
            if !inside {
                return Err(ControlError::refused(
                    Code::AddressForbidden,
                    "The token may be used from its listed addresses only. Use it there, or make a token with other addresses.",
                ));
            }
        }
        Ok(principal)
    }

    async fn of_session(&self, digest: &Digest, now: DateTime<Utc>) -> Result<Principal> {
        let mut read = self.store().read().await?;
        let session = sessions::find_by_digest(&mut read, digest.as_bytes()).await?.ok_or_else(unauthenticated)?;
        let ended = now >= session.expires_at || now - session.last_used_at >= SESSION_IDLE;
        let known = Digest::from_slice(&session.digest).is_some_and(|stored| stored.matches(digest));
        if ended || !known {
            return Err(ControlError::refused(Code::Unauthenticated, "The session has ended. Sign in again."));
        }
        let user = users::find(&mut read, session.user_id).await?.ok_or_else(unauthenticated)?;
        if now - session.last_used_at >= TOUCH_EVERY {
            let mut write = self.store().write().await?;
            sessions::touch(&mut write, session.id, now).await?;
            write.commit_without_audit("last use of a session").await?;
        }
        Ok(self.session_principal(&user, &session, now))
    }

    pub(crate) fn session_principal(&self, user: &UserRow, session: &SessionRow, now: DateTime<Utc>) -> Principal {
        let via = Via::Session {
            id: session.id,
            fresh_for_step_up: now - session.confirmed_at < STEP_UP,
            csrf: self.csrf_of(session.id, &session.digest),
        };
        Principal { operator: user.operator, ..principal_of(user, via) }
    }

    /// The token that pages of a session send with changes; bound to the cookie, so it changes with it.
    pub(crate) fn csrf_of(&self, session: SessionId, digest: &[u8]) -> String {
        let signature = self.signer().sign("csrf", &[session.uuid().as_bytes(), digest].concat());
        signature.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    async fn of_token(&self, id: domain::id::TokenId, digest: &Digest, now: DateTime<Utc>) -> Result<Principal> {
        let mut read = self.store().read().await?;
        let unknown =
            || ControlError::refused(Code::Unauthenticated, "The token is not known here: it was revoked, or belongs to another instance.");
        let token = tokens::find(&mut read, id).await?.ok_or_else(unknown)?;
        if !Digest::from_slice(&token.digest).is_some_and(|stored| stored.matches(digest)) {
            return Err(unknown());
        }
        if now >= token.expires_at {
            return Err(ControlError::refused(Code::Unauthenticated, "The token has expired. Make a new one under Account, Tokens."));
        }
        let user = users::find(&mut read, token.user_id).await?.ok_or_else(unknown)?;
        if token.last_used_at.is_none_or(|last| now - last >= TOUCH_EVERY) {
            let mut write = self.store().write().await?;
            tokens::touch(&mut write, token.id, now).await?;
            write.commit_without_audit("last use of a token").await?;
        }
        let restriction = restriction_of(&token);
        let rate = crate::tokens::rate_of(&token);
        Ok(principal_of(&user, Via::Token { id: token.id, scopes: token.scopes.0, restriction, rate }))
    }
}

/// What the token is confined to. A list of addresses that cannot be read allows nothing.
pub(super) fn restriction_of(token: &tokens::TokenRow) -> Restriction {
    let addresses = token.addresses.as_ref().map(|list| list.0.iter().filter_map(|text| text.parse::<IpNet>().ok()).collect());
    Restriction {
        organization: token.organization_id,
        project: token.project_id,
        environment: token.environment_id,
        service: token.service_id,
        addresses,
    }
}

/// A token never operates the instance: no scope says so.
fn principal_of(user: &UserRow, via: Via) -> Principal {
    Principal {
        user: user.id,
        email: user.email.clone(),
        name: user.name.clone(),
        email_verified: user.email_verified_at.is_some(),
        via,
        operator: false,
    }
}

fn unauthenticated() -> ControlError {
    ControlError::refused(Code::Unauthenticated, "Sign in, or send `Authorization: Bearer <token>`.")
}

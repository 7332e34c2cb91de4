use contract::Page;
use contract::accounts::{Session, SessionsEnded};
use contract::page::PageQuery;
use domain::id::SessionId;
use store::sessions;

use crate::Control;
use crate::access::{Origin, Principal, Via};
use crate::error::{ControlError, Result};

impl Control {
    /// Signed-in browsers of the principal.
    pub async fn list_sessions(&self, principal: &Principal, query: &PageQuery) -> Result<Page<Session>> {
        principal.require_session()?;
        let list = format!("sessions of {}", principal.user);
        let page = self.page_of(&list, query)?;
        let listing = sessions::list(&mut self.store().read().await?, principal.user, &page).await?;
        let own = match &principal.via {
            Via::Session { id, .. } => Some(*id),
            Via::Token { .. } => None,
        };
        Ok(self.listed(&list, listing, |row| Session {
            current: own == Some(row.id),
            id: row.id,
            device: row.device,
            network: row.source_address,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
        }))
    }

    /// Ends one session of the principal.
    pub async fn revoke_session(&self, principal: &Principal, origin: &Origin, text: &str) -> Result<()> {
        principal.require_session()?;
        let absent = || ControlError::NotFound("session");
        let id: SessionId = text.parse().map_err(|_| absent())?;
        let mut write = self.store().write().await?;
        match sessions::delete(&mut write, principal.user, id).await {
            Err(store::StoreError::NotFound { .. }) => return Err(absent()),
            other => other?,
        }
        self.forget_access_after(&mut write);
        self.record_own(principal, origin, "session.revoked").resource("session", id, None).append(&mut write).await?;
        write.commit().await?;
        Ok(())
    }

    /// Ends every other session of the principal.
    pub async fn revoke_other_sessions(&self, principal: &Principal, origin: &Origin) -> Result<SessionsEnded> {
        let own = principal.require_session()?;
        let mut write = self.store().write().await?;
        let ended = sessions::delete_others(&mut write, principal.user, Some(own)).await?;
        self.forget_access_after(&mut write);
        self.record_own(principal, origin, "session.others_revoked").detail("ended", ended).append(&mut write).await?;
        write.commit().await?;
        Ok(SessionsEnded { ended })
    }
}

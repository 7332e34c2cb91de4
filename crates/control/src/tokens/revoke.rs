use domain::id::TokenId;
use store::tokens;

use crate::Control;
use crate::access::{Origin, Principal, Via};
use crate::error::{ControlError, Result};

impl Control {
    /// Ends a token of the principal at once. A token may end itself (`seaway logout`).
    pub async fn revoke_token(&self, principal: &Principal, origin: &Origin, text: &str) -> Result<()> {
        let absent = || ControlError::NotFound("token");
        let id: TokenId = text.parse().map_err(|_| absent())?;
        let itself = matches!(&principal.via, Via::Token { id: own, .. } if *own == id);
        if !itself {
            principal.require_session()?;
        }
        let mut write = self.store().write().await?;
        match tokens::delete(&mut write, principal.user, id).await {
            Err(store::StoreError::NotFound { .. }) => return Err(absent()),
            other => other?,
        }
        self.forget_access_after(&mut write);
        self.record_own(principal, origin, "token.revoked").resource("token", id, None).append(&mut write).await?;
        write.commit().await?;
        Ok(())
    }
}

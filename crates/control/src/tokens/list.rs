use contract::Page;
use contract::page::PageQuery;
use contract::tokens::Token;
use store::tokens;

use crate::Control;
use crate::access::Principal;
use crate::error::Result;

impl Control {
    /// The principal's tokens, newest first; never their texts.
    pub async fn list_tokens(&self, principal: &Principal, query: &PageQuery) -> Result<Page<Token>> {
        principal.require_session()?;
        let list = format!("tokens of {}", principal.user);
        let page = self.page_of(&list, query)?;
        let listing = tokens::list(&mut self.store().read().await?, principal.user, &page).await?;
        Ok(self.listed(&list, listing, super::shown))
    }
}

use contract::Page;
use contract::organizations::Organization;
use contract::page::PageQuery;
use domain::permission::Permission;
use store::organizations;

use super::default_role;
use crate::Control;
use crate::access::{Principal, Via};
use crate::error::{ControlError, Result};

impl Control {
    /// The organizations of the principal, newest first; with a confined token only that one.
    pub async fn list_organizations(&self, principal: &Principal, query: &PageQuery) -> Result<Page<Organization>> {
        principal.require_verified()?;
        let only = match &principal.via {
            Via::Token { scopes, .. } if !scopes.contains(&Permission::OrganizationRead) => {
                return Err(ControlError::ScopeMissing(Permission::OrganizationRead));
            }
            Via::Token { restriction, .. } => restriction.organization,
            Via::Session { .. } => None,
        };
        let list = format!("organizations of {} {only:?}", principal.user);
        let page = self.page_of(&list, query)?;
        let listing = organizations::list_of_user(&mut self.store().read().await?, principal.user, only, &page).await?;
        Ok(self.listed(&list, listing, |row| Organization {
            default_role: default_role(&row.settings.0),
            id: row.id,
            slug: row.slug,
            name: row.name,
            role: row.role,
            created_at: row.created_at,
        }))
    }
}

use contract::Code;
use contract::organizations::{ChangeOrganization, Organization};
use domain::permission::{Permission, Role};
use store::organizations;

use super::{shown, valid_slug};
use crate::Control;
use crate::access::Actor;
use crate::accounts::valid_name;
use crate::error::{ControlError, Result};

impl Control {
    /// Renames, or changes settings.
    ///
    /// # Errors
    /// `name-taken` for the slug.
    pub async fn change_organization(&self, actor: &Actor, change: &ChangeOrganization) -> Result<Organization> {
        actor.require(Permission::OrganizationWrite)?;
        let name = change.name.as_deref().map(|name| valid_name("/name", name)).transpose()?;
        let slug = change.slug.as_deref().map(valid_slug).transpose()?;
        if change.default_role.is_some_and(|role| role > Role::Member) {
            return Err(ControlError::invalid("/default_role", "role", "New people start as viewer or member."));
        }
        let mut write = self.store().write().await?;
        let mut row = organizations::get_for_update(&mut write, actor.organization).await?;
        let before = shown(row.clone(), actor.role);
        row.name = name.unwrap_or(row.name);
        row.slug = slug.unwrap_or(row.slug);
        if let (Some(role), Some(settings)) = (change.default_role, row.settings.0.as_object_mut()) {
            settings.insert("default_role".to_owned(), serde_json::to_value(role).map_err(anyhow::Error::new)?);
        }
        match organizations::update(&mut write, &row, self.clock().now()).await {
            Err(error) if error.is_conflict_of("organizations_slug") => {
                return Err(ControlError::refused(
                    Code::NameTaken,
                    format!("Another organization is called {}. Choose another slug.", row.slug),
                ));
            }
            other => other?,
        }
        let after = shown(row, actor.role);
        self.record(actor, "organization.changed")
            .resource("organization", actor.organization, Some(&after.name))
            .states(Some(&before), Some(&after))
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(after)
    }
}

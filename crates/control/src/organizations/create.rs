use contract::Code;
use contract::organizations::{CreateOrganization, Organization};
use domain::id::OrganizationId;
use domain::permission::{Permission, Role};
use store::audit::Chain;
use store::memberships::{self, MembershipRow};
use store::organizations::{self, OrganizationRow};
use store::{Json, Write};

use super::{shown, slug_of, valid_slug};
use crate::Control;
use crate::access::{Origin, Principal};
use crate::accounts::valid_name;
use crate::error::{ControlError, Result};

impl Control {
    /// Makes an organization that the principal owns.
    ///
    /// # Errors
    /// `name-taken` for a chosen slug, `Limit`, `email-unverified`.
    pub async fn create_organization(&self, principal: &Principal, origin: &Origin, request: &CreateOrganization) -> Result<Organization> {
        if !principal.operator {
            self.require_feature(contract::instance::Feature::Organizations).await?;
        }
        principal.require_verified()?;
        principal.require_scope(Permission::OrganizationWrite)?;
        let name = valid_name("/name", &request.name)?;
        let slug = request.slug.as_deref().map(valid_slug).transpose()?;
        let limits = self.instance_limits().await?;
        let mut write = self.store().write().await?;
        let own = memberships::list_of_user(&mut write, principal.user).await?;
        let owned = own.iter().filter(|membership| membership.role == Role::Owner).count();
        if owned >= usize::try_from(limits.organizations_per_user).unwrap_or(usize::MAX) {
            let (current, max) = (u64::try_from(owned).unwrap_or(u64::MAX), u64::from(limits.organizations_per_user));
            return Err(ControlError::Limit { name: "organizations_per_user", current, max });
        }
        let row = self.insert_organization(&mut write, principal, origin, &name, slug).await?;
        write.commit().await?;
        Ok(shown(row, Role::Owner))
    }

    /// The rows of a new organization and its record. Without a slug, a free one is made from the name.
    pub(crate) async fn insert_organization(
        &self,
        write: &mut Write,
        principal: &Principal,
        origin: &Origin,
        name: &str,
        slug: Option<String>,
    ) -> Result<OrganizationRow> {
        let now = self.clock().now();
        let id = OrganizationId::new(self.clock(), self.entropy());
        let slug = match slug {
            Some(slug) => slug,
            None => {
                let wanted = slug_of(name);
                match organizations::find_by_slug(write, &wanted).await? {
                    None => wanted,
                    // The end of the id is random.
                    Some(_) => {
                        let text = id.to_string();
                        let end: String = text.chars().skip(text.len().saturating_sub(6)).collect();
                        format!("{}-{end}", wanted.chars().take(33).collect::<String>().trim_end_matches('-'))
                    }
                }
            }
        };
        let row = OrganizationRow {
            id,
            slug,
            name: name.to_owned(),
            settings: Json(serde_json::json!({})),
            version: 1,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        match organizations::insert(write, &row).await {
            Err(error) if error.is_conflict_of("organizations_slug") => {
                let detail = format!("Another organization is called {}. Choose another slug.", row.slug);
                return Err(ControlError::refused(Code::NameTaken, detail));
            }
            other => other?,
        }
        let membership = MembershipRow {
            organization_id: id,
            user_id: principal.user,
            role: Role::Owner,
            switches: Json::default(),
            projects: None,
            environments: None,
            services: None,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        memberships::insert(write, &membership).await?;
        self.record_in(Chain::Organization(id), principal, origin, "organization.created")
            .resource("organization", id, Some(&row.name))
            .append(write)
            .await?;
        Ok(row)
    }
}

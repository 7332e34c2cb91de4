use contract::Page;
use contract::page::PageQuery;
use contract::releases::Release;
use domain::id::{Id, OrganizationId, ReleaseId, ServiceId};
use domain::permission::Permission;
use store::releases::ReleaseRow;

use super::noted::{changed_variables, noted_variables};
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// The releases of a service, newest first.
    pub async fn list_releases(&self, actor: &Actor, query: &PageQuery) -> Result<Page<Release>> {
        actor.require(Permission::ServicesRead)?;
        let service = actor.service()?;
        let list = format!("releases/{service}");
        let page = self.page_of(&list, query)?;
        let current = self.current_release(actor.organization, service).await?;
        let listing = store::releases::list(&mut self.store().read().await?, actor.organization, service, &page).await?;
        Ok(self.listed(&list, listing, |row| shown(row, current)))
    }

    /// One release with its frozen configuration and what changed against the one before.
    pub async fn read_release(&self, actor: &Actor) -> Result<Release> {
        actor.require(Permission::ServicesRead)?;
        let id = ReleaseId::from_uuid(actor.located.id);
        let mut read = self.store().read().await?;
        let row = store::releases::find(&mut read, actor.organization, id).await?.ok_or(ControlError::NotFound("release"))?;
        let before = store::releases::find_version(&mut read, actor.organization, row.service_id, row.version - 1).await?;
        drop(read);
        let current = self.current_release(actor.organization, row.service_id).await?;
        let configuration = row.configuration.0.clone();
        let names = names(&row);
        let changes = before.map(|before| changes(&before, &row)).unwrap_or_default();
        let mut release = shown(row, current);
        release.configuration = Some(configuration);
        release.variable_names = names;
        release.changes = changes;
        Ok(release)
    }

    pub(crate) async fn current_release(&self, organization: OrganizationId, service: ServiceId) -> Result<Option<ReleaseId>> {
        let row = store::services::find(&mut self.store().read().await?, organization, service).await?;
        Ok(row.and_then(|row| row.current_release_id))
    }
}

pub(crate) fn shown(row: ReleaseRow, current: Option<ReleaseId>) -> Release {
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    Release {
        id: row.id,
        service: row.service_id,
        version: count(row.version),
        deployment: row.deployment_id,
        current: current == Some(row.id),
        reason: row.reason,
        image: row.image,
        image_bytes: count(row.image_bytes),
        rollback_possible: row.image_kept && current != Some(row.id),
        revision: row.revision,
        commit_subject: row.commit_subject,
        commit_author: row.commit_author,
        author: row.author_name,
        hosts: row.hosts.0,
        rolled_back_to: row.rolled_back_to.map(count),
        irreversible: row.irreversible,
        created_at: row.created_at,
        configuration: None,
        variable_names: Vec::new(),
        changes: Vec::new(),
    }
}

fn names(row: &ReleaseRow) -> Vec<String> {
    noted_variables(&row.variable_names.0).into_keys().collect()
}

/// What differs between two releases, in words; never a value of a variable.
fn changes(before: &ReleaseRow, after: &ReleaseRow) -> Vec<String> {
    let mut lines = Vec::new();
    if before.image != after.image {
        lines.push(format!("image: {} → {}", short(&before.revision), short(&after.revision)));
    }
    lines.extend(changed_variables(&before.variable_names.0, &after.variable_names.0));
    let value = |row: &ReleaseRow| serde_json::to_value(&row.configuration.0).unwrap_or_default();
    let (old, new) = (value(before), value(after));
    if let (Some(old), Some(new)) = (old.as_object(), new.as_object()) {
        lines.extend(new.iter().filter(|(key, value)| old.get(*key) != Some(*value)).map(|(key, _)| format!("setting changed: {key}")));
    }
    if before.hosts.0 != after.hosts.0 {
        lines.push(format!("hosts: {}", after.hosts.0.join(", ")));
    }
    lines
}

fn short(revision: &str) -> &str {
    let text = revision.trim_start_matches("sha256:");
    text.get(..7).unwrap_or(text)
}

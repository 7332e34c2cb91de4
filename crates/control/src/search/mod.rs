//! Search over names of what the principal may see.

use contract::overview::{Found, SearchQuery, SearchResult};
use domain::id::{EnvironmentId, Id, OrganizationId, ProjectId, ServiceId};
use domain::permission::Permission;

use crate::access::{Kind, Origin, Principal};
use crate::error::{ControlError, Result};
use crate::state::Control;

const TEXT_LENGTH_MAX: usize = 100;
const RESULTS_MAX: i64 = 50;

impl Control {
    /// Projects, environments and services whose name or slug holds the text, in every organization of the principal.
    pub async fn search(&self, principal: &Principal, origin: &Origin, query: &SearchQuery) -> Result<SearchResult> {
        let text = query.q.trim();
        if text.is_empty() || text.chars().count() > TEXT_LENGTH_MAX {
            return Err(ControlError::invalid("query/q", "length", format!("1 to {TEXT_LENGTH_MAX} characters")));
        }
        let memberships = store::memberships::list_of_user(&mut self.store().read().await?, principal.user).await?;
        let mut data = Vec::new();
        for membership in memberships {
            let organization: OrganizationId = membership.organization_id;
            // The same door as for every other request: restriction of the token, allowed projects, deleted organizations.
            let Ok(actor) = self.actor(principal, origin, Kind::Organization, &organization.to_string()).await else { continue };
            if actor.require(Permission::ProjectsRead).is_err() {
                continue;
            }
            let found = store::search::by_name(&mut self.store().read().await?, organization, &actor.sight, text, RESULTS_MAX).await?;
            data.extend(found.into_iter().map(shown));
        }
        data.truncate(usize::try_from(RESULTS_MAX).unwrap_or(0));
        Ok(SearchResult { data })
    }
}

fn shown(row: store::search::FoundRow) -> Found {
    let id = match row.kind.as_str() {
        "project" => ProjectId::from_uuid(row.id).to_string(),
        "environment" => EnvironmentId::from_uuid(row.id).to_string(),
        _ => ServiceId::from_uuid(row.id).to_string(),
    };
    Found {
        kind: row.kind,
        id,
        slug: row.slug,
        name: row.name,
        organization: row.organization_id,
        project: row.project_id.map(ProjectId::from_uuid),
        environment: row.environment_id.map(EnvironmentId::from_uuid),
    }
}

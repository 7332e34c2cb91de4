//! Search over names of projects, environments and services.

use domain::id::OrganizationId;
use uuid::Uuid;

use crate::*;

row! {
    /// One thing that was found, with where it is.
    pub struct FoundRow {
        pub id: Uuid,
        pub kind: String,
        pub slug: String,
        pub name: String,
        pub organization_id: OrganizationId,
        pub project_id: Option<Uuid>,
        pub environment_id: Option<Uuid>,
    }
}

/// What has `text` in its name or slug, whatever the case, at most `limit`, those whose name begins with it first.
pub async fn by_name(unit: &mut impl Unit, organizations: &[OrganizationId], text: &str, limit: i64) -> Result<Vec<FoundRow>, StoreError> {
    let escaped: String = text
        .to_lowercase()
        .chars()
        .flat_map(|letter| {
            let escape = matches!(letter, '%' | '_' | '\\').then_some('\\');
            escape.into_iter().chain([letter])
        })
        .collect();
    let anywhere = format!("%{escaped}%");
    let start = format!("{escaped}%");
    let mut found = Vec::new();
    for organization in organizations {
        let statement = "SELECT id, kind, slug, name, organization_id, project_id, environment_id FROM ( \
            SELECT id, 'project' AS kind, slug, name, organization_id, id AS project_id, CAST(NULL AS uuid) AS environment_id FROM projects \
              WHERE organization_id = $1 AND deleting_at IS NULL \
            UNION ALL SELECT id, 'environment', slug, name, organization_id, project_id, id FROM environments \
              WHERE organization_id = $1 AND deleting_at IS NULL \
            UNION ALL SELECT id, 'service', slug, name, organization_id, project_id, environment_id FROM services \
              WHERE organization_id = $1 AND deleting_at IS NULL \
            ) AS things WHERE lower(name) LIKE $2 ESCAPE '\\' OR slug LIKE $2 ESCAPE '\\' \
            ORDER BY CASE WHEN lower(name) LIKE $3 ESCAPE '\\' OR slug LIKE $3 ESCAPE '\\' THEN 0 ELSE 1 END, name, id LIMIT $4";
        found.extend(fetch_all!(unit, FoundRow, statement, *organization, anywhere.as_str(), start.as_str(), limit).await?);
    }
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}

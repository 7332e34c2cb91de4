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

/// What of the organization is seen and has `text` in its name or slug, whatever the case, at most `limit`; those whose name
/// begins with it first.
pub async fn by_name(
    unit: &mut impl Unit,
    organization: OrganizationId,
    sight: &Sight,
    text: &str,
    limit: i64,
) -> Result<Vec<FoundRow>, StoreError> {
    let escaped: String = text
        .to_lowercase()
        .chars()
        .flat_map(|letter| {
            let escape = matches!(letter, '%' | '_' | '\\').then_some('\\');
            escape.into_iter().chain([letter])
        })
        .collect();
    let (anywhere, start) = (format!("%{escaped}%"), format!("{escaped}%"));
    let select = "SELECT id, kind, slug, name, organization_id, project_id, environment_id FROM ( \
        SELECT id, 'project' AS kind, slug, name, organization_id, id AS project_id, CAST(NULL AS uuid) AS environment_id FROM projects \
          WHERE deleting_at IS NULL \
        UNION ALL SELECT id, 'environment', slug, name, organization_id, project_id, id FROM environments WHERE deleting_at IS NULL \
        UNION ALL SELECT id, 'service', slug, name, organization_id, project_id, environment_id FROM services WHERE deleting_at IS NULL \
        ) AS things";
    let found = |like: String| {
        let likes = vec![like.as_str().parameter(), like.as_str().parameter()];
        Filter::of("organization_id = ?", organization).and_all("lower(name) LIKE ? ESCAPE '\\' OR slug LIKE ? ESCAPE '\\'", likes)
    };
    let mut rows: Vec<FoundRow> = fetch_filtered(unit, select, sight.of_found(found(start)), "name, id", limit).await?;
    let others: Vec<FoundRow> = fetch_filtered(unit, select, sight.of_found(found(anywhere)), "name, id", limit).await?;
    let seen: std::collections::BTreeSet<Uuid> = rows.iter().map(|row| row.id).collect();
    rows.extend(others.into_iter().filter(|row| !seen.contains(&row.id)));
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(rows)
}

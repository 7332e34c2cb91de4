//! Releases: immutable, numbered per service.

use chrono::{DateTime, Utc};
use domain::id::{DeploymentId, OrganizationId, ReleaseId, ServiceId};
use domain::service::Configuration;

use crate::*;

row! {
    pub struct ReleaseRow {
        pub id: ReleaseId,
        pub organization_id: OrganizationId,
        pub service_id: ServiceId,
        pub version: i64,
        pub deployment_id: DeploymentId,
        pub reason: String,
        pub image: String,
        pub image_bytes: i64,
        pub image_kept: bool,
        pub revision: String,
        pub commit_subject: Option<String>,
        pub commit_author: Option<String>,
        pub configuration: Json<Configuration>,
        pub sealed_variables: Vec<u8>,
        pub variable_names: Json<serde_json::Value>,
        pub hosts: Json<Vec<String>>,
        pub service_revision: i64,
        pub rolled_back_to: Option<i64>,
        pub irreversible: bool,
        /// Destructive statements in migrations that it brought, as they are shown.
        pub destructive: Option<Json<Vec<String>>>,
        pub author_name: Option<String>,
        pub created_at: DateTime<Utc>,
        /// When it first served; `None` while it never did.
        pub served_at: Option<DateTime<Utc>>,
    }
}

/// The number of the next release of a service.
pub async fn next_version(unit: &mut impl Unit, service: ServiceId) -> Result<i64, StoreError> {
    let (last,): (i64,) =
        fetch_one!(unit, (i64,), "SELECT COALESCE(max(version), 0) AS value FROM releases WHERE service_id = $1", service).await?;
    Ok(last + 1)
}

/// # Errors
/// `Conflict` of `releases_version` when another took the number, of `releases_deployment` when the deployment has a release.
pub async fn insert(write: &mut Write, row: &ReleaseRow) -> Result<(), StoreError> {
    let text = "INSERT INTO releases (id, organization_id, service_id, version, deployment_id, reason, image, image_bytes, image_kept, revision, \
                commit_subject, commit_author, configuration, sealed_variables, variable_names, hosts, service_revision, rolled_back_to, irreversible, author_name, created_at, destructive) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)";
    execute!(
        write,
        text,
        row.id,
        row.organization_id,
        row.service_id,
        row.version,
        row.deployment_id,
        &row.reason,
        &row.image,
        row.image_bytes,
        row.image_kept,
        &row.revision,
        &row.commit_subject,
        &row.commit_author,
        &row.configuration,
        row.sealed_variables.as_slice(),
        &row.variable_names,
        &row.hosts,
        row.service_revision,
        row.rolled_back_to,
        row.irreversible,
        &row.author_name,
        row.created_at,
        &row.destructive
    )
    .await
    .map(|_| ())
}

pub async fn find(unit: &mut impl Unit, organization: OrganizationId, id: ReleaseId) -> Result<Option<ReleaseRow>, StoreError> {
    fetch_optional!(unit, ReleaseRow, "SELECT {columns} FROM releases WHERE organization_id = $1 AND id = $2", organization, id).await
}

/// For the locator, which learns the organization from the row.
pub async fn find_any(unit: &mut impl Unit, id: ReleaseId) -> Result<Option<ReleaseRow>, StoreError> {
    fetch_optional!(unit, ReleaseRow, "SELECT {columns} FROM releases WHERE id = $1", id).await
}

pub async fn find_version(
    unit: &mut impl Unit,
    organization: OrganizationId,
    service: ServiceId,
    version: i64,
) -> Result<Option<ReleaseRow>, StoreError> {
    let text = "SELECT {columns} FROM releases WHERE organization_id = $1 AND service_id = $2 AND version = $3";
    fetch_optional!(unit, ReleaseRow, text, organization, service, version).await
}

pub async fn list(
    unit: &mut impl Unit,
    organization: OrganizationId,
    service: ServiceId,
    page: &Page,
) -> Result<Listing<ReleaseRow>, StoreError> {
    let filter = Filter::of("organization_id = ?", organization).and("service_id = ?", service);
    fetch_page(unit, "SELECT {columns} FROM releases", filter, Order::Newest("created_at"), page).await
}

/// Notes that the release serves; the first time stays.
pub async fn mark_served(write: &mut Write, organization: OrganizationId, id: ReleaseId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE releases SET served_at = COALESCE(served_at, $3) WHERE organization_id = $1 AND id = $2";
    execute!(write, text, organization, id, now).await.map(|_| ())
}

/// The newest release before `version` that served once and whose image is kept: where a rollback without a number goes.
pub async fn find_served_before(unit: &mut impl Unit, service: ServiceId, version: i64) -> Result<Option<ReleaseRow>, StoreError> {
    let text = "SELECT {columns} FROM releases WHERE service_id = $1 AND version < $2 AND image_kept = $3 AND served_at IS NOT NULL \
                ORDER BY version DESC LIMIT 1";
    fetch_optional!(unit, ReleaseRow, text, service, version, true).await
}

/// Whether any release of the service but this one ever served.
pub async fn another_served(unit: &mut impl Unit, service: ServiceId, id: ReleaseId) -> Result<bool, StoreError> {
    let text = "SELECT count(*) AS value FROM releases WHERE service_id = $1 AND id <> $2 AND served_at IS NOT NULL";
    Ok(fetch_one!(unit, (i64,), text, service, id).await?.0 > 0)
}

/// Releases whose image is still kept, newest first.
pub async fn list_kept(unit: &mut impl Unit, service: ServiceId) -> Result<Vec<ReleaseRow>, StoreError> {
    fetch_all!(
        unit,
        ReleaseRow,
        "SELECT {columns} FROM releases WHERE service_id = $1 AND image_kept = $2 ORDER BY version DESC",
        service,
        true
    )
    .await
}

pub async fn forget_image(write: &mut Write, organization: OrganizationId, id: ReleaseId) -> Result<(), StoreError> {
    execute!(write, "UPDATE releases SET image_kept = $3 WHERE organization_id = $1 AND id = $2", organization, id, false).await.map(|_| ())
}

pub async fn mark_irreversible(
    write: &mut Write,
    organization: OrganizationId,
    id: ReleaseId,
    irreversible: bool,
) -> Result<(), StoreError> {
    execute!(write, "UPDATE releases SET irreversible = $3 WHERE organization_id = $1 AND id = $2", organization, id, irreversible)
        .await
        .map(|_| ())
}

/// The newest release after `version` that is marked irreversible: a rollback across it is refused.
pub async fn find_irreversible_after(unit: &mut impl Unit, service: ServiceId, version: i64) -> Result<Option<ReleaseRow>, StoreError> {
    let text = "SELECT {columns} FROM releases WHERE service_id = $1 AND version > $2 AND irreversible = $3 ORDER BY version DESC LIMIT 1";
    fetch_optional!(unit, ReleaseRow, text, service, version, true).await
}

/// Everything of a service that is being deleted.
pub async fn delete_of_service(write: &mut Write, organization: OrganizationId, service: ServiceId) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM releases WHERE organization_id = $1 AND service_id = $2", organization, service).await
}

//! Named volumes: data that outlives releases.

use chrono::{DateTime, Utc};
use domain::id::{OrganizationId, ServiceId, VolumeId};

use crate::*;

row! {
    pub struct VolumeRow {
        pub id: VolumeId,
        pub organization_id: OrganizationId,
        pub service_id: ServiceId,
        pub name: String,
        pub created_at: DateTime<Utc>,
        pub deleting_at: Option<DateTime<Utc>>,
    }
}

/// # Errors
/// `Conflict` of `volumes_name` when the service has a volume of this name.
pub async fn insert(write: &mut Write, row: &VolumeRow) -> Result<(), StoreError> {
    let text = "INSERT INTO volumes (id, organization_id, service_id, name, created_at) VALUES ($1, $2, $3, $4, $5)";
    execute!(write, text, row.id, row.organization_id, row.service_id, &row.name, row.created_at).await.map(|_| ())
}

pub async fn find(unit: &mut impl Unit, organization: OrganizationId, id: VolumeId) -> Result<Option<VolumeRow>, StoreError> {
    fetch_optional!(unit, VolumeRow, "SELECT {columns} FROM volumes WHERE organization_id = $1 AND id = $2", organization, id).await
}

/// For the locator, which learns the organization from the row.
pub async fn find_any(unit: &mut impl Unit, id: VolumeId) -> Result<Option<VolumeRow>, StoreError> {
    fetch_optional!(unit, VolumeRow, "SELECT {columns} FROM volumes WHERE id = $1", id).await
}

/// All of a service, oldest first.
pub async fn all_of_service(unit: &mut impl Unit, organization: OrganizationId, service: ServiceId) -> Result<Vec<VolumeRow>, StoreError> {
    let text = "SELECT {columns} FROM volumes WHERE organization_id = $1 AND service_id = $2 ORDER BY created_at, id";
    fetch_all!(unit, VolumeRow, text, organization, service).await
}

/// Every volume of the instance, for the sweeper.
pub async fn all(unit: &mut impl Unit) -> Result<Vec<VolumeRow>, StoreError> {
    fetch_all!(unit, VolumeRow, "SELECT {columns} FROM volumes ORDER BY id").await
}

pub async fn mark_deleting(write: &mut Write, organization: OrganizationId, id: VolumeId, at: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE volumes SET deleting_at = COALESCE(deleting_at, $3) WHERE organization_id = $1 AND id = $2";
    match execute!(write, text, organization, id, at).await? {
        0 => Err(StoreError::NotFound { row: "volume" }),
        _ => Ok(()),
    }
}

pub async fn delete(write: &mut Write, organization: OrganizationId, id: VolumeId) -> Result<(), StoreError> {
    execute!(write, "DELETE FROM volumes WHERE organization_id = $1 AND id = $2", organization, id).await.map(|_| ())
}

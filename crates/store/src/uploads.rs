//! Uploaded archives; the bytes are files below the data folder, named by the id.

use chrono::{DateTime, Utc};
use domain::id::{OrganizationId, ServiceId, UploadId};

use crate::*;

/// What kind of archive the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveFormat {
    Zip,
    Tar,
    TarGz,
}

row! {
    pub struct UploadRow {
        pub id: UploadId,
        pub organization_id: OrganizationId,
        pub service_id: ServiceId,
        /// SHA-256 in hexadecimal.
        pub content_digest: String,
        pub format: ArchiveFormat,
        pub size_bytes: i64,
        pub author_kind: audit::ActorKind,
        pub author_id: Option<String>,
        pub created_at: DateTime<Utc>,
    }
}

pub async fn insert(write: &mut Write, row: &UploadRow) -> Result<(), StoreError> {
    let text = "INSERT INTO uploads (id, organization_id, service_id, content_digest, format, size_bytes, author_kind, author_id, created_at) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    execute!(
        write,
        text,
        row.id,
        row.organization_id,
        row.service_id,
        &row.content_digest,
        row.format,
        row.size_bytes,
        row.author_kind,
        &row.author_id,
        row.created_at
    )
    .await
    .map(|_| ())
}

pub async fn find(unit: &mut impl Unit, organization: OrganizationId, id: UploadId) -> Result<Option<UploadRow>, StoreError> {
    fetch_optional!(unit, UploadRow, "SELECT {columns} FROM uploads WHERE organization_id = $1 AND id = $2", organization, id).await
}

/// For the locator, which learns the organization from the row.
pub async fn find_any(unit: &mut impl Unit, id: UploadId) -> Result<Option<UploadRow>, StoreError> {
    fetch_optional!(unit, UploadRow, "SELECT {columns} FROM uploads WHERE id = $1", id).await
}

pub async fn list(
    unit: &mut impl Unit,
    organization: OrganizationId,
    service: ServiceId,
    page: &Page,
) -> Result<Listing<UploadRow>, StoreError> {
    let filter = Filter::of("organization_id = ?", organization).and("service_id = ?", service);
    fetch_page(unit, "SELECT {columns} FROM uploads", filter, Order::Newest("created_at"), page).await
}

/// All of a service, newest first.
pub async fn all_of_service(unit: &mut impl Unit, organization: OrganizationId, service: ServiceId) -> Result<Vec<UploadRow>, StoreError> {
    let text = "SELECT {columns} FROM uploads WHERE organization_id = $1 AND service_id = $2 ORDER BY created_at DESC, id DESC";
    fetch_all!(unit, UploadRow, text, organization, service).await
}

pub async fn delete(write: &mut Write, organization: OrganizationId, id: UploadId) -> Result<(), StoreError> {
    match execute!(write, "DELETE FROM uploads WHERE organization_id = $1 AND id = $2", organization, id).await? {
        0 => Err(StoreError::NotFound { row: "upload" }),
        _ => Ok(()),
    }
}

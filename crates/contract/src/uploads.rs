//! Uploaded archives.

use chrono::{DateTime, Utc};
use domain::id::{ServiceId, UploadId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    pub id: UploadId,
    pub service: ServiceId,
    /// SHA-256 of the bytes, in hexadecimal.
    pub digest: String,
    /// `zip`, `tar` or `tar_gz`.
    pub format: String,
    pub size_bytes: u64,
    pub created_at: DateTime<Utc>,
}

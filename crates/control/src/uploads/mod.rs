//! Uploaded archives: bytes below the data folder, a row that says what they are.

mod create;
mod delete;
mod read;

use std::path::PathBuf;

use contract::uploads::Upload;
use domain::id::{OrganizationId, UploadId};
use store::uploads::UploadRow;

use crate::error::{ControlError, Result};
use crate::state::Control;

pub use create::{Incoming, UPLOAD_BYTES_MAX};

impl Control {
    fn uploads_folder(&self) -> PathBuf {
        self.config().data_dir.join("uploads")
    }

    /// Where the bytes of an upload are.
    pub(crate) fn upload_path(&self, id: UploadId) -> PathBuf {
        self.uploads_folder().join(id.to_string())
    }

    /// Path of an upload and its SHA-256 in hexadecimal.
    pub(crate) async fn upload_file(&self, organization: OrganizationId, id: UploadId) -> Result<(PathBuf, String)> {
        let row = store::uploads::find(&mut self.store().read().await?, organization, id).await?.ok_or(ControlError::NotFound("upload"))?;
        Ok((self.upload_path(id), row.content_digest))
    }
}

fn shown(row: UploadRow) -> Upload {
    Upload {
        id: row.id,
        service: row.service_id,
        digest: row.content_digest,
        format: crate::word(&row.format),
        size_bytes: u64::try_from(row.size_bytes).unwrap_or(0),
        created_at: row.created_at,
    }
}

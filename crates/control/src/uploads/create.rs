use std::path::PathBuf;

use bytes::Bytes;
use contract::Code;
use contract::uploads::Upload;
use domain::id::{ServiceId, UploadId};
use domain::permission::Permission;
use sha2::{Digest, Sha256};
use store::audit::ActorKind;
use store::uploads::{ArchiveFormat, UploadRow};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::shown;
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

/// Largest archive.
pub const UPLOAD_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Uploads kept per service; the oldest that no deployment needs goes first.
const UPLOADS_KEPT: usize = 5;
/// Bytes that tell the format: a tar's magic stands at 257.
const HEAD_BYTES: usize = 262;

/// An upload on its way in. Dropped without [`Control::finish_upload`], its file is gone.
pub struct Incoming {
    id: UploadId,
    service: ServiceId,
    file: File,
    temporary: tempfile::TempPath,
    digest: Sha256,
    head: Vec<u8>,
    size_bytes: u64,
    target: PathBuf,
}

impl Control {
    /// Begins an upload for the actor's service.
    pub async fn begin_upload(&self, actor: &Actor) -> Result<Incoming> {
        actor.require(Permission::DeploymentsWrite)?;
        self.require_feature(contract::instance::Feature::Uploads).await?;
        let service = actor.service()?;
        let folder = self.uploads_folder();
        let id = UploadId::new(self.clock(), self.entropy());
        let made = {
            let folder = folder.clone();
            tokio::task::spawn_blocking(move || {
                std::fs::create_dir_all(&folder)?;
                tempfile::Builder::new().prefix(".incoming-").tempfile_in(&folder)
            })
        };
        let file = made.await.map_err(|error| ControlError::Internal(error.into()))?.map_err(unwritten)?;
        let (file, temporary) = file.into_parts();
        let target = self.upload_path(id);
        Ok(Incoming { id, service, file: File::from_std(file), temporary, digest: Sha256::new(), head: Vec::new(), size_bytes: 0, target })
    }

    /// Stores the upload once every byte is on disk.
    ///
    /// # Errors
    /// `invalid` when it is not a zip, tar or gzipped tar.
    pub async fn finish_upload(&self, actor: &Actor, mut incoming: Incoming) -> Result<Upload> {
        let format = format(&incoming.head).ok_or_else(|| {
            ControlError::invalid(
                "",
                "not-an-archive",
                "the bytes are not a zip, tar or tar.gz archive; make one with `tar czf app.tar.gz .`",
            )
        })?;
        incoming.file.flush().await.map_err(unwritten)?;
        incoming.file.sync_all().await.map_err(unwritten)?;
        let target = incoming.target.clone();
        let temporary = incoming.temporary;
        let kept = tokio::task::spawn_blocking(move || temporary.persist(&target).map_err(|error| error.error));
        kept.await.map_err(|error| ControlError::Internal(error.into()))?.map_err(unwritten)?;
        let author = actor.author();
        let digest: [u8; 32] = incoming.digest.finalize().into();
        let row = UploadRow {
            id: incoming.id,
            organization_id: actor.organization,
            service_id: incoming.service,
            content_digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            format,
            size_bytes: i64::try_from(incoming.size_bytes).unwrap_or(i64::MAX),
            author_kind: if author.kind == "token" { ActorKind::Token } else { ActorKind::User },
            author_id: author.id,
            created_at: self.clock().now(),
        };
        let mut write = self.store().write().await?;
        store::uploads::insert(&mut write, &row).await?;
        let gone = self.retire_uploads(&mut write, actor, incoming.service).await?;
        self.record(actor, "upload.created")
            .resource("upload", row.id, None)
            .detail("size_bytes", row.size_bytes)
            .append(&mut write)
            .await?;
        write.commit().await?;
        for id in gone {
            self.remove_upload_file(id).await;
        }
        Ok(shown(row))
    }

    /// Rows of the oldest uploads beyond those kept, unless a deployment that has not ended needs them.
    async fn retire_uploads(&self, write: &mut store::Write, actor: &Actor, service: ServiceId) -> Result<Vec<UploadId>> {
        let open = store::deployments::list_open(write, service).await?;
        let configured =
            store::services::find(write, actor.organization, service).await?.and_then(|row| match row.configuration.0.source {
                Some(domain::service::Source::Archive { upload }) => upload,
                _ => None,
            });
        let mut gone = Vec::new();
        for old in store::uploads::all_of_service(write, actor.organization, service).await?.into_iter().skip(UPLOADS_KEPT) {
            if configured != Some(old.id) && !open.iter().any(|deployment| deployment.upload_id == Some(old.id)) {
                store::uploads::delete(write, actor.organization, old.id).await?;
                gone.push(old.id);
            }
        }
        Ok(gone)
    }
}

impl Incoming {
    /// Adds bytes.
    ///
    /// # Errors
    /// `body-too-large` past [`UPLOAD_BYTES_MAX`]; `unavailable` when the disk is full.
    pub async fn add(&mut self, bytes: &Bytes) -> Result<()> {
        self.size_bytes += bytes.len() as u64;
        if self.size_bytes > UPLOAD_BYTES_MAX {
            return Err(ControlError::refused(
                Code::BodyTooLarge,
                format!(
                    "The archive is larger than {} MiB. Leave out what the build does not need (node_modules, build results).",
                    UPLOAD_BYTES_MAX / 1024 / 1024
                ),
            ));
        }
        if self.head.len() < HEAD_BYTES {
            let missing = HEAD_BYTES - self.head.len();
            self.head.extend(bytes.iter().take(missing));
        }
        self.digest.update(bytes);
        self.file.write_all(bytes).await.map_err(unwritten)
    }
}

fn format(head: &[u8]) -> Option<ArchiveFormat> {
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        Some(ArchiveFormat::Zip)
    } else if head.starts_with(&[0x1f, 0x8b]) {
        Some(ArchiveFormat::TarGz)
    } else if head.get(257..262) == Some(b"ustar") {
        Some(ArchiveFormat::Tar)
    } else {
        None
    }
}

fn unwritten(error: std::io::Error) -> ControlError {
    ControlError::Unavailable(format!("the upload could not be written: {error}"))
}

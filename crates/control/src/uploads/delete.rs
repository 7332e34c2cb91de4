use contract::Code;
use domain::id::{Id, UploadId};
use domain::permission::Permission;

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Deletes an upload that no open deployment needs.
    pub async fn delete_upload(&self, actor: &Actor) -> Result<()> {
        actor.require(Permission::DeploymentsWrite)?;
        let id = UploadId::from_uuid(actor.located.id);
        let mut write = self.store().write().await?;
        let open = store::deployments::list_open(&mut write, actor.service()?).await?;
        if open.iter().any(|deployment| deployment.upload_id == Some(id)) {
            return Err(ControlError::refused(
                Code::Conflict,
                "A deployment that has not ended needs the upload. Wait for it or cancel it.",
            ));
        }
        store::uploads::delete(&mut write, actor.organization, id).await?;
        self.record(actor, "upload.deleted").resource("upload", id, None).append(&mut write).await?;
        write.commit().await?;
        self.remove_upload_file(id).await;
        Ok(())
    }

    /// The file of a row that is gone; what cannot be removed now is told, and harms nobody.
    pub(super) async fn remove_upload_file(&self, id: UploadId) {
        let path = self.upload_path(id);
        if let Err(error) = tokio::fs::remove_file(&path).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(upload = %id, %error, "the file of a deleted upload is still there");
        }
    }
}

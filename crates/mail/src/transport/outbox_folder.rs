//! The way out while SMTP is not configured: every mail becomes a file in a private folder, for the operator to read.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::{MailError, Message, Receipt, Transport};

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Writes mails as `.eml` files.
#[derive(Debug, Clone)]
pub struct OutboxFolder {
    folder: PathBuf,
}

impl OutboxFolder {
    /// Makes the folder if it is missing, readable for its owner only: mails hold links that let people in.
    ///
    /// # Errors
    /// The failure of the file system.
    pub fn new(folder: &Path) -> std::io::Result<Self> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Where a mail is written. The same mail has the same name: sent twice, it is there once.
    pub fn path_of(&self, message: &Message) -> PathBuf {
        self.folder.join(format!("{}-{}.eml", message.date.format("%Y%m%dT%H%M%SZ"), message.id))
    }
}

#[async_trait::async_trait]
impl Transport for OutboxFolder {
    async fn send(&self, message: &Message) -> Result<Receipt, MailError> {
        let eml = message.to_eml().map_err(|error| MailError::Permanent(error.to_string()))?;
        let path = self.path_of(message);
        let target = path.clone();
        let written = tokio::task::spawn_blocking(move || write_whole(&target, &eml)).await;
        let failed = |error: &dyn std::fmt::Display| MailError::Transient(format!("{}: {error}", path.display()));
        written.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        tracing::info!(
            mail.kind = message.kind, mail.path = %path.display(),
            "SMTP is not configured: the mail was written to {}", path.display()
        );
        Ok(Receipt { detail: format!("written to {}", path.display()) })
    }
}

/// The file appears whole or not at all.
fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

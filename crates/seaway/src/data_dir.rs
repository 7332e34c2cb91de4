//! The folder that holds everything of an instance, and the lock that says who serves from it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const LOCK: &str = "serve.lock";

/// Names inside the data folder.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// Makes the folder if it is missing, and private if it is the caller's own.
    ///
    /// # Errors
    /// When it cannot be made or belongs to another user.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(path)
            .with_context(|| format!("the data folder {shown} cannot be made; choose another with --data-dir, or make it for this user"))?;
        let path = path.canonicalize().with_context(|| format!("the data folder {shown} cannot be found"))?;
        let metadata = path.metadata().with_context(|| format!("the data folder {shown} cannot be read"))?;
        let own = rustix::process::geteuid().as_raw();
        if metadata.uid() != own && own != 0 {
            bail!("the data folder {shown} belongs to user {}, Seaway runs as user {own}; chown it, or run as its owner", metadata.uid());
        }
        if metadata.mode() & 0o077 != 0 {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(FOLDER_MODE))
                .with_context(|| format!("others can enter the data folder {shown}; run: chmod 700 {shown}"))?;
        }
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A private folder in it.
    ///
    /// # Errors
    /// The file system's failure.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(&path)
            .with_context(|| format!("the folder {} cannot be made", path.display()))?;
        Ok(path)
    }

    /// The right to serve from this folder, held until dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// When another process holds it.
    pub fn lock(&self) -> Result<Lock> {
        let path = self.0.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(FILE_MODE)
            .open(&path)
            .with_context(|| format!("{} cannot be opened", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => bail!(
                "another Seaway serves from {}; stop it first, or give this one a folder of its own with --data-dir",
                self.0.display()
            ),
            Err(error) => Err(error).with_context(|| format!("{} cannot be locked", path.display())),
        }
    }
}

/// Keeps the data folder to this process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_becomes_private_and_has_one_server_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/data");
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let data = DataDir::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
        let first = data.lock().unwrap();
        let error = DataDir::open(&path).unwrap().lock().unwrap_err().to_string();
        assert!(error.contains("another Seaway serves from"), "{error}");
        drop(first);
        data.lock().unwrap();
    }
}

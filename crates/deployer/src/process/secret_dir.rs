//! Files with secrets for one process: in memory, readable by the owner only, gone when dropped.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use domain::Secret;

/// A folder of its own for one job, mode 0700, on a memory-backed file system.
#[derive(Debug)]
pub struct SecretDir(tempfile::TempDir);

impl SecretDir {
    /// `base` is a folder on a memory-backed file system (`/dev/shm/…`, `/run/…`); it is made when missing.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn create(base: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(base)?;
        Ok(Self(tempfile::Builder::new().prefix("job-").permissions(Permissions::from_mode(0o700)).tempdir_in(base)?))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file of mode 0600 and answers its path. `name` is a constant of the code.
    ///
    /// # Errors
    /// The file exists already or cannot be written.
    pub fn write(&self, name: &'static str, content: &Secret<String>) -> io::Result<PathBuf> {
        let path = self.0.path().join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(content.reveal().as_bytes())?;
        Ok(path)
    }

    /// Removes what a killed agent left behind. Only at start-up, before the first job.
    ///
    /// # Errors
    /// A folder cannot be read or removed.
    pub fn sweep(base: &Path) -> io::Result<u64> {
        let mut removed = 0;
        let entries = match std::fs::read_dir(base) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        for entry in entries {
            std::fs::remove_dir_all(entry?.path())?;
            removed += 1;
        }
        Ok(removed)
    }
}

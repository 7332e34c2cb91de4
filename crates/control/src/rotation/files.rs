//! The files of the master key: `master.key`, and beside it `master.key.next` and `master.key.previous` while a rotation is
//! under way. `master.key` is there at every moment.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use domain::Entropy;
use rustix::fs::{FlockOperation, flock};
use vault::{MasterKey, MasterRing, VaultError};

use crate::error::{ControlError, Result};

const LOCK: &str = "rotate.lock";

/// Names of the key's files.
#[derive(Debug, Clone)]
pub struct MasterKeyFiles {
    current: PathBuf,
}

/// Held while a rotation runs; gone with the process, however it ends.
pub(super) struct RotationLock(#[expect(dead_code, reason = "held for its lock")] File);

impl MasterKeyFiles {
    /// `current`: the path of `master.key`.
    pub fn new(current: impl Into<PathBuf>) -> Self {
        Self { current: current.into() }
    }

    pub fn current(&self) -> &Path {
        &self.current
    }

    pub fn next(&self) -> PathBuf {
        self.current.with_extension("key.next")
    }

    pub fn previous(&self) -> PathBuf {
        self.current.with_extension("key.previous")
    }

    /// Where a retired key stays, for backups from before: no process reads it.
    pub fn retired(&self, key: &MasterKey) -> PathBuf {
        self.current.with_file_name(format!("retired-{}.key", key.id()))
    }

    /// True from the first step of a rotation to the last.
    pub fn is_rotating(&self) -> bool {
        self.next().symlink_metadata().is_ok() || self.previous().symlink_metadata().is_ok()
    }

    /// The keys as they are now. Never makes one.
    ///
    /// # Errors
    /// `MasterKeyMissing`, or a file that cannot be used.
    pub fn read(&self) -> std::result::Result<MasterRing, VaultError> {
        let current = read(&self.current)?.ok_or_else(|| VaultError::MasterKeyMissing { path: self.current.clone() })?;
        let mut others = Vec::new();
        for path in [self.next(), self.previous()] {
            others.extend(read(&path)?.filter(|key| key.id() != current.id()));
        }
        Ok(MasterRing::new(current, others))
    }

    /// The next key: the one that a former run has written, or a new one.
    pub(super) fn prepare(&self, entropy: &dyn Entropy) -> std::result::Result<MasterKey, VaultError> {
        if let Some(key) = read(&self.next())? {
            return Ok(key);
        }
        let key = MasterKey::generate(entropy);
        key.write_new_file(&self.next(), entropy)?;
        Ok(key)
    }

    /// The key of the rotation before this moment's `master.key`, when the swap is done.
    pub(super) fn swapped_from(&self) -> std::result::Result<Option<MasterKey>, VaultError> {
        if self.next().symlink_metadata().is_ok() {
            return Ok(None);
        }
        read(&self.previous())
    }

    /// Gives the current key its second name.
    pub(super) fn keep_previous(&self) -> Result<()> {
        match std::fs::hard_link(&self.current, self.previous()) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(&self.current, &error)),
            _ => self.sync(),
        }
    }

    /// Puts the next key in the current one's place, in one step.
    pub(super) fn swap(&self) -> Result<()> {
        std::fs::rename(self.next(), &self.current).map_err(|error| failed(&self.current, &error))?;
        self.sync()
    }

    /// Takes the old key out of use. It is kept: backups from before need it.
    pub(super) fn put_away(&self, old: &MasterKey) -> Result<PathBuf> {
        let place = self.retired(old);
        std::fs::rename(self.previous(), &place).map_err(|error| failed(&place, &error))?;
        self.sync()?;
        Ok(place)
    }

    /// # Errors
    /// `Refused` while another process rotates.
    pub(super) fn lock(&self) -> Result<RotationLock> {
        let path = self.current.with_file_name(LOCK);
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(|error| failed(&path, &error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(RotationLock(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                Err(ControlError::refused(contract::Code::Conflict, "Another process rotates the master key now. Wait for it to end."))
            }
            Err(error) => Err(failed(&path, &error.into())),
        }
    }

    fn sync(&self) -> Result<()> {
        let folder = self.current.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed(folder, &error))
    }
}

fn read(path: &Path) -> std::result::Result<Option<MasterKey>, VaultError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        // A file that cannot be looked at is not a file that is not there.
        _ => MasterKey::from_file(path).map(Some),
    }
}

fn failed(path: &Path, error: &std::io::Error) -> ControlError {
    ControlError::Internal(anyhow::anyhow!("{}: {error}", path.display()))
}

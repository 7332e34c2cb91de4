//! Putting restored files in the place of the old ones, in the data folder itself (which may be a mount point).
//!
//! A journal says what is to be moved; from the moment it is on the disk the swap is decided, and whoever finds it (the next
//! restore, the next start) carries it through. Old files go to a folder that is kept.

use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{RecoveryError, Result, file};

const JOURNAL: &str = "restore.json";

/// Names in the data folder that change places, relative to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Swap {
    /// Holds the new ones.
    pub(super) staged: String,
    /// Gets the old ones.
    pub(super) aside: String,
    pub(super) names: Vec<Name>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Name {
    path: String,
    /// There is a new one; otherwise the old one only goes aside.
    is_replaced: bool,
}

/// A restore that was cut off after it was decided, and is done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interruption {
    /// Where the data from before is.
    pub aside: PathBuf,
}

impl Swap {
    /// `names` change places; those that are not in the staging folder only go aside.
    pub(super) fn new(staging: &Path, staged: String, aside: String, names: Vec<String>) -> Self {
        let names = names.into_iter().map(|path| Name { is_replaced: exists(&staging.join(&path)), path }).collect();
        Self { staged, aside, names }
    }

    /// Decides the swap.
    pub(super) fn decide(&self, data_dir: &Path) -> Result<()> {
        let path = data_dir.join(JOURNAL);
        let text = serde_json::to_vec_pretty(self).map_err(|error| RecoveryError::Damaged(error.to_string()))?;
        let draft = data_dir.join("restore.json.new");
        std::fs::write(&draft, text).and_then(|()| File::open(&draft)?.sync_all()).map_err(file(&draft))?;
        std::fs::rename(&draft, &path).map_err(file(&path))?;
        sync(data_dir)
    }

    /// Moves what is not moved yet.
    fn carry_out(&self, data_dir: &Path, after_each: &dyn Fn() -> Result<()>) -> Result<PathBuf> {
        let (staged, aside) = (data_dir.join(&self.staged), data_dir.join(&self.aside));
        private(&aside)?;
        for Name { path, is_replaced } in &self.names {
            let (new, old, here) = (staged.join(path), aside.join(path), data_dir.join(path));
            if *is_replaced && !exists(&new) {
                // Already done: what is here is the new one.
                continue;
            }
            if !exists(&old) && exists(&here) {
                parent(&old)?;
                std::fs::rename(&here, &old).map_err(file(&here))?;
                after_each()?;
            }
            if *is_replaced {
                parent(&here)?;
                std::fs::rename(&new, &here).map_err(file(&new))?;
                after_each()?;
            }
        }
        sync(data_dir)?;
        let journal = data_dir.join(JOURNAL);
        std::fs::remove_file(&journal).map_err(file(&journal))?;
        sync(data_dir)?;
        // What is left of the staging folder holds nothing that anybody needs.
        let _left = std::fs::remove_dir_all(&staged);
        Ok(aside)
    }
}

/// Carries a decided restore through; `None` when there is none. Call it before anything in the data folder is opened.
///
/// # Errors
/// The file system's: the data folder is not to be used then.
pub fn finish_interrupted(data_dir: &Path) -> Result<Option<Interruption>> {
    carry_out(data_dir, &|| Ok(()))
}

pub(super) fn carry_out(data_dir: &Path, after_each: &dyn Fn() -> Result<()>) -> Result<Option<Interruption>> {
    let path = data_dir.join(JOURNAL);
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(file(&path))?,
    };
    let swap: Swap = serde_json::from_slice(&text).map_err(|error| RecoveryError::Damaged(format!("{}: {error}", path.display())))?;
    Ok(Some(Interruption { aside: swap.carry_out(data_dir, after_each)? }))
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

pub(super) fn private(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(file(path))
}

fn parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), private)
}

fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(file(folder))
}

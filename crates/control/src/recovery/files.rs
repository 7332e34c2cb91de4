//! Which files of the data folder belong to a backup.

use std::path::{Path, PathBuf};

use super::error::{Result, file};

/// Folders and files of the data folder, by their path in it. Not the logs, the ingress's process files, the files of
/// services (they hold values in plain and are written again with the next rollout) or the keys.
pub(super) const KEPT: &[&str] = &["uploads", "outbox", "agent/services", "agent/instance", "ingress/routes"];
/// In a folder above, but of a running process.
const LEFT_OUT: &[&str] = &["lock", "pid", "sock", "log", "writing", "new", "tmp"];
/// The name in the archive of the operator's configuration file: for reading, never put back.
pub(super) const CONFIGURATION: &str = "configuration/seaway.toml";
pub(super) const DATABASE: &str = "database";
pub(super) const DATA: &str = "data";
pub(super) const KEY: &str = "key.sealed";

/// Regular files under the kept names, relative to the data folder, in order. Symbolic links are not followed.
pub(super) fn kept(data_dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for name in KEPT {
        walk(data_dir, Path::new(name), &mut found)?;
    }
    found.sort();
    Ok(found)
}

fn walk(data_dir: &Path, relative: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let path = data_dir.join(relative);
    let metadata = match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(file(&path))?,
    };
    if metadata.is_file() && !is_left_out(relative) {
        found.push(relative.to_owned());
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(&path).map_err(file(&path))? {
            walk(data_dir, &relative.join(entry.map_err(file(&path))?.file_name()), found)?;
        }
    }
    Ok(())
}

fn is_left_out(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| LEFT_OUT.contains(&extension)) || path.to_str().is_none()
}

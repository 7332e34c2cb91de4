//! A limit on what a process may write into a folder, measured while it runs.

use std::path::{Path, PathBuf};

/// The most that a folder may hold.
#[derive(Debug, Clone)]
pub struct FolderLimit {
    pub folder: PathBuf,
    pub size_bytes_max: u64,
    pub files_max: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FolderSize {
    pub size_bytes: u64,
    pub files: u64,
}

impl FolderLimit {
    /// The size when it is beyond the limit.
    pub(super) fn exceeded(&self) -> Option<FolderSize> {
        let size = measure(&self.folder);
        (size.size_bytes > self.size_bytes_max || size.files > self.files_max).then_some(size)
    }
}

/// Sums a folder without following links. What vanishes meanwhile counts as nothing.
pub fn measure(folder: &Path) -> FolderSize {
    let mut size = FolderSize::default();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&current) else { continue };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                size.files += 1;
                size.size_bytes += metadata.len();
            }
        }
    }
    size
}

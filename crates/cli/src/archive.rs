//! A folder as a tar.gz for an upload, without what `.gitignore` and `.seawayignore` name.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use ignore::WalkBuilder;

use crate::failure::{Failure, Result};
use crate::link;

pub const IGNORE_FILE: &str = ".seawayignore";
/// Never a part of a source.
const NEVER: &[&str] = &[".git", link::FOLDER];
pub const FILES_MAX: usize = 100_000;

/// A packed folder; its file is gone when this is dropped.
#[derive(Debug)]
pub struct Packed {
    pub file: File,
    pub size_bytes: u64,
    pub files: usize,
}

/// Packs the folder. Symbolic links stay links; the instance refuses those that lead out of the folder. Owners and times are
/// left out, so that the same content is the same archive.
pub fn pack(folder: &Path) -> Result<Packed> {
    let fail = |error: &dyn std::fmt::Display| Failure::other(format!("{} cannot be packed: {error}", folder.display()));
    let file = tempfile::tempfile().map_err(|error| fail(&error))?;
    let mut tar = tar::Builder::new(GzEncoder::new(BufWriter::new(file), Compression::fast()));
    tar.follow_symlinks(false);
    let mut files = 0;
    let walk = WalkBuilder::new(folder)
        .hidden(false)
        .parents(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .ignore(false)
        .add_custom_ignore_filename(IGNORE_FILE)
        .sort_by_file_name(std::cmp::Ord::cmp)
        .filter_entry(|entry| !(entry.depth() == 1 && NEVER.iter().any(|name| entry.file_name() == *name)))
        .build();
    for entry in walk {
        let entry = entry.map_err(|error| fail(&error))?;
        let Ok(name) = entry.path().strip_prefix(folder) else { continue };
        let Some(kind) = entry.file_type().filter(|_| !name.as_os_str().is_empty()) else { continue };
        if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
            continue;
        }
        files += 1;
        if files > FILES_MAX {
            return Err(fail(&format!("it has more than {FILES_MAX} files; name what is not needed in {IGNORE_FILE}")));
        }
        append(&mut tar, entry.path(), name, kind).map_err(|error| fail(&format!("{}: {error}", name.display())))?;
    }
    let file =
        tar.into_inner().and_then(GzEncoder::finish).and_then(|buffer| buffer.into_inner().map_err(std::io::IntoInnerError::into_error));
    let mut file = file.map_err(|error| fail(&error))?;
    let size_bytes = file.stream_position().and_then(|size| file.seek(SeekFrom::Start(0)).map(|_| size)).map_err(|error| fail(&error))?;
    if files == 0 {
        return Err(fail(&"it is empty, or everything in it is ignored"));
    }
    Ok(Packed { file, size_bytes, files })
}

fn append(tar: &mut tar::Builder<impl std::io::Write>, path: &Path, name: &Path, kind: std::fs::FileType) -> std::io::Result<()> {
    let metadata = path.symlink_metadata()?;
    let mut header = tar::Header::new_gnu();
    header.set_metadata_in_mode(&metadata, tar::HeaderMode::Deterministic);
    header.set_mtime(0);
    if kind.is_symlink() {
        header.set_size(0);
        return tar.append_link(&mut header, name, std::fs::read_link(path)?);
    }
    if kind.is_dir() {
        header.set_size(0);
        return tar.append_data(&mut header, name, std::io::empty());
    }
    // A file that grows while it is read must not spoil the archive.
    let file = std::io::Read::take(File::open(path)?, metadata.len());
    tar.append_data(&mut header, name, file)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn names(packed: Packed) -> Vec<String> {
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(packed.file));
        let name = |entry: std::io::Result<tar::Entry<'_, _>>| {
            let mut entry: tar::Entry<'_, flate2::read::GzDecoder<File>> = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            entry.path().unwrap().display().to_string()
        };
        tar.entries().unwrap().map(name).collect()
    }

    #[test]
    fn what_is_ignored_stays_here_and_the_rest_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(".gitignore", "node_modules\n*.log\n!keep.log\n");
        write(IGNORE_FILE, ".env\nbig/\n");
        write("Dockerfile", "FROM x");
        write("src/main.rs", "fn main() {}");
        write("src/.git-hooks", "x");
        write(".git/config", "secret");
        write(".seaway/link.toml", "x");
        write(".env", "TOKEN=1");
        write("node_modules/a/index.js", "x");
        write("debug.log", "x");
        write("keep.log", "x");
        write("big/file", "x");
        std::os::unix::fs::symlink("Dockerfile", folder.path().join("alias")).unwrap();
        let packed = pack(folder.path()).unwrap();
        let found = names(packed);
        assert_eq!(found, [".gitignore", ".seawayignore", "Dockerfile", "alias", "keep.log", "src", "src/.git-hooks", "src/main.rs"]);
        let sum = |packed: Packed| {
            let (mut bytes, mut file) = (Vec::new(), packed.file);
            file.read_to_end(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(sum(pack(folder.path()).unwrap()), sum(pack(folder.path()).unwrap()), "the same content is the same archive");
    }

    #[test]
    fn an_empty_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(pack(folder.path()).unwrap_err().to_string().contains("empty"));
    }
}

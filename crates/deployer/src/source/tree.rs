//! Checks a folder of foreign files: size, count, and links that lead out of it.

use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};

use domain::deployment::Failure;
use domain::service::BuildLimits;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, openat2};

use super::{disk_failure, size_failure, source_failure};

const DEPTH_MAX: usize = 128;

/// Walks the folder without following links.
///
/// # Errors
/// A link that leaves the folder (named), a device or socket, or more than the limits allow.
pub fn check(root: &Path, limits: &BuildLimits) -> Result<(), Failure> {
    let mut size_bytes = 0u64;
    let mut files = 0u64;
    let mut folders = vec![(PathBuf::new(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        if depth > DEPTH_MAX {
            return Err(source_failure(
                format!("The source has folders nested deeper than {DEPTH_MAX}: “{}”.", folder.display()),
                "Flatten the folders.",
            ));
        }
        let entries = std::fs::read_dir(root.join(&folder)).map_err(|error| disk_failure(&error, "read the source"))?;
        for entry in entries {
            let entry = entry.map_err(|error| disk_failure(&error, "read the source"))?;
            let metadata = entry.metadata().map_err(|error| disk_failure(&error, "read the source"))?;
            let name = folder.join(entry.file_name());
            if metadata.is_dir() {
                folders.push((name, depth + 1));
                continue;
            }
            files += 1;
            if metadata.is_symlink() {
                check_link(root, &name)?;
            } else if metadata.is_file() {
                size_bytes += metadata.len();
            } else {
                return Err(source_failure(
                    format!("“{}” is neither a file, a folder nor a link.", name.display()),
                    "Remove it from the source.",
                ));
            }
            if files > limits.source_files_max || size_bytes > limits.source_bytes_max {
                return Err(size_failure(limits));
            }
        }
    }
    Ok(())
}

fn check_link(root: &Path, name: &Path) -> Result<(), Failure> {
    let target = std::fs::read_link(root.join(name)).map_err(|error| disk_failure(&error, "read a link of the source"))?;
    let refused = || {
        source_failure(
            format!("The link “{}” leads out of the source (to “{}”).", name.display(), target.display()),
            "Replace the link with the file itself, or let it point inside the source.",
        )
    };
    if !stays_inside(name.parent().unwrap_or(Path::new("")), &target) {
        return Err(refused());
    }
    // Chains of links: the kernel resolves and refuses to leave. What does not exist or is a loop leads nowhere.
    match open_beneath(root, name, OFlags::PATH | OFlags::CLOEXEC) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::XDEV.raw_os_error()) => Err(refused()),
        _ => Ok(()),
    }
}

/// Whether a link's target, read as plain text, stays inside.
pub fn stays_inside(folder: &Path, target: &Path) -> bool {
    let mut depth = folder.components().count();
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return false,
            },
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

/// Opens a path of foreign origin below a root: links are followed only while they stay below it.
///
/// # Errors
/// The kernel's; `EXDEV` when the path leaves the root.
pub fn open_beneath(root: &Path, path: &Path, flags: OFlags) -> io::Result<File> {
    let folder = rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let opened = openat2(&folder, path, flags | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)?;
    Ok(File::from(opened))
}

/// What a path below the root resolves to, with all links followed inside it.
///
/// # Errors
/// Nothing is there (`NotFound`), or it leaves the root (`EXDEV`).
pub fn resolve_beneath(root: &Path, path: &Path) -> io::Result<(PathBuf, FileType)> {
    use std::os::fd::AsRawFd;
    let opened = open_beneath(root, path, OFlags::PATH)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode);
    let resolved = std::fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()))?;
    Ok((resolved, kind))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_inside_pass_and_links_outside_are_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        std::fs::create_dir_all(path.join("a/b")).unwrap();
        std::fs::write(path.join("a/file"), "x").unwrap();
        symlink("../file", path.join("a/b/inside")).unwrap();
        symlink("missing", path.join("a/dangling")).unwrap();
        symlink("loop", path.join("a/loop")).unwrap();
        check(path, &BuildLimits::default()).unwrap();
        for (target, name) in [("/etc/passwd", "absolute"), ("../../etc/passwd", "a/up"), ("..", "top")] {
            symlink(target, path.join(name)).unwrap();
            let failure = check(path, &BuildLimits::default()).unwrap_err();
            assert!(failure.message.contains(name), "{}", failure.message);
            std::fs::remove_file(path.join(name)).unwrap();
        }
        // Read as text `here/..` stays inside; followed, it does not.
        symlink(".", path.join("here")).unwrap();
        symlink("here/..", path.join("chain")).unwrap();
        assert!(check(path, &BuildLimits::default()).unwrap_err().message.contains("chain"));
    }

    #[test]
    fn limits_and_pipes() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..5 {
            std::fs::write(root.path().join(number.to_string()), "12345").unwrap();
        }
        assert!(check(root.path(), &BuildLimits { source_files_max: 4, ..BuildLimits::default() }).is_err());
        assert!(check(root.path(), &BuildLimits { source_bytes_max: 24, ..BuildLimits::default() }).is_err());
        check(root.path(), &BuildLimits { source_bytes_max: 25, source_files_max: 5, ..BuildLimits::default() }).unwrap();
        rustix::fs::mknodat(CWD, root.path().join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(check(root.path(), &BuildLimits::default()).unwrap_err().message.contains("pipe"));
    }
}

//! An uploaded archive (zip, tar, tar.gz): checked while it is unpacked into a folder of its own, refused as a whole.
//!
//! Files are written before any link exists, so no write can go through one; limits count the bytes that really come out.

use std::collections::{HashMap, HashSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use domain::deployment::{Cause, Failure, Step};
use domain::service::BuildLimits;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{Fetched, Revision, SourceContext, TREE, canceled, disk_failure, disk_full, job_folder, size_failure, source_failure, tree};

const ENTRIES_MAX: u64 = 200_000;
const NAME_BYTES_MAX: usize = 4096;
const DEPTH_MAX: usize = 100;
const LINK_BYTES_MAX: u64 = 4096;
const COPY_BYTES: usize = 64 * 1024;
const FOLDER_MODE: u32 = 0o755;

/// Unpacks the archive; a single folder at its root is stripped.
///
/// # Errors
/// [`Failure`] of class `Source` or `DiskFull`; nothing of the archive is left on disk.
pub async fn fetch(context: &SourceContext<'_>, archive: &Path, digest: &str) -> Result<Fetched, Failure> {
    context.lines.say("Unpacking the archive").await;
    let folder = job_folder(context)?;
    let place = folder.path().to_path_buf();
    let job = Unpack {
        archive: archive.to_path_buf(),
        digest: digest.trim_start_matches("sha256:").to_ascii_lowercase(),
        folder: place,
        limits: context.limits.clone(),
        cancel: context.cancel.clone(),
    };
    let id = tokio::task::spawn_blocking(move || job.run())
        .await
        .map_err(|error| Failure::new(Cause::Internal, Step::Fetch, format!("Unpacking ended: {error}."), "Deploy again."))??;
    Ok(Fetched { folder, revision: Revision { id, subject: None, author: None, date: None } })
}

struct Unpack {
    archive: PathBuf,
    /// SHA-256 in hexadecimal; not compared when empty.
    digest: String,
    folder: PathBuf,
    limits: BuildLimits,
    cancel: CancellationToken,
}

impl Unpack {
    /// Answers the archive's SHA-256.
    fn run(&self) -> Result<String, Failure> {
        let unreadable = |error: io::Error| disk_failure(&error, "read the uploaded archive");
        let mut file = File::open(&self.archive).map_err(unreadable)?;
        let digest = sha256(&mut file).map_err(unreadable)?;
        if !self.digest.is_empty() && digest != self.digest {
            return Err(source_failure("The uploaded archive has changed since it was uploaded.", "Upload it again."));
        }
        let mut head = [0u8; 4];
        let count = file.read(&mut head).map_err(unreadable)?;
        file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        let unpacked = self.folder.join("unpacked");
        std::fs::create_dir(&unpacked).map_err(|error| disk_failure(&error, "unpack the archive"))?;
        let mut target = Target::new(unpacked.clone(), &self.limits, &self.cancel);
        match head.get(..count).unwrap_or_default() {
            [b'P', b'K', ..] => unzip(file, &mut target)?,
            [0x1f, 0x8b, ..] => untar(flate2::read::MultiGzDecoder::new(BufReader::new(file)), &mut target)?,
            _ => untar(BufReader::new(file), &mut target)?,
        }
        target.finish()?;
        let root = single_folder(&unpacked).map_err(|error| disk_failure(&error, "unpack the archive"))?;
        std::fs::rename(root, self.folder.join(TREE)).map_err(|error| disk_failure(&error, "unpack the archive"))?;
        tree::check(&self.folder.join(TREE), &self.limits)?;
        Ok(digest)
    }
}

/// The folder that is being filled. A failed unpacking leaves it to its owner, who drops it.
struct Target<'a> {
    root: PathBuf,
    limits: &'a BuildLimits,
    cancel: &'a CancellationToken,
    entries: u64,
    files: u64,
    size_bytes: u64,
    /// Lower-case path -> path as written: two names that differ in case only would collide on other machines.
    names: HashMap<String, PathBuf>,
    folders: HashSet<PathBuf>,
    links: Vec<(PathBuf, PathBuf)>,
    hard_links: Vec<(PathBuf, PathBuf)>,
}

impl<'a> Target<'a> {
    fn new(root: PathBuf, limits: &'a BuildLimits, cancel: &'a CancellationToken) -> Self {
        Self {
            root,
            limits,
            cancel,
            entries: 0,
            files: 0,
            size_bytes: 0,
            names: HashMap::new(),
            folders: HashSet::new(),
            links: Vec::new(),
            hard_links: Vec::new(),
        }
    }

    /// Counts an entry and answers its path when it is a plain one inside the folder; `None` for the root itself.
    fn enter(&mut self, name: &[u8]) -> Result<Option<PathBuf>, Failure> {
        if self.cancel.is_cancelled() {
            return Err(canceled());
        }
        self.entries += 1;
        if self.entries > ENTRIES_MAX.min(self.limits.source_files_max.saturating_mul(2).saturating_add(1000)) {
            return Err(size_failure(self.limits));
        }
        let text = std::str::from_utf8(name).map_err(|_invalid| refused(&String::from_utf8_lossy(name), "its name is not UTF-8"))?;
        if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) || text.contains('\\') {
            return Err(refused(text, "its name is empty, too long or holds a character that is not allowed"));
        }
        let mut path = PathBuf::new();
        for component in Path::new(text).components() {
            match component {
                Component::Normal(part) => path.push(part),
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) => return Err(refused(text, "its path is absolute")),
                Component::ParentDir => return Err(refused(text, "its path leads out of the archive")),
            }
        }
        if path.components().count() > DEPTH_MAX {
            return Err(refused(text, "it is nested too deep"));
        }
        Ok((!path.as_os_str().is_empty()).then_some(path))
    }

    /// A name may come once; a folder may come again.
    fn claim(&mut self, path: &Path) -> Result<(), Failure> {
        let key = path.to_string_lossy().to_lowercase();
        if self.folders.contains(path) {
            return Err(refused(&path.to_string_lossy(), "it is there twice"));
        }
        if let Some(other) = self.names.insert(key, path.to_path_buf()) {
            return Err(refused(&path.to_string_lossy(), &format!("it collides with “{}”", other.display())));
        }
        Ok(())
    }

    fn folder(&mut self, path: &Path) -> Result<(), Failure> {
        let mut built = PathBuf::new();
        for component in path.components() {
            built.push(component);
            if self.folders.contains(&built) {
                continue;
            }
            let key = built.to_string_lossy().to_lowercase();
            if let Some(other) = self.names.insert(key, built.clone()) {
                return Err(refused(&path.to_string_lossy(), &format!("it collides with “{}”", other.display())));
            }
            DirBuilder::new()
                .mode(FOLDER_MODE)
                .create(self.root.join(&built))
                .map_err(|error| disk_failure(&error, "unpack the archive"))?;
            self.folders.insert(built.clone());
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, mode: u32, mut content: impl Read) -> Result<(), Failure> {
        self.parent(path)?;
        self.claim(path)?;
        self.files += 1;
        if self.files > self.limits.source_files_max {
            return Err(size_failure(self.limits));
        }
        if mode & 0o7000 != 0 {
            return Err(refused(&path.to_string_lossy(), "it carries set-user-id, set-group-id or sticky bits"));
        }
        let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(self.root.join(path))
            .map_err(|error| disk_failure(&error, "unpack the archive"))?;
        let mut buffer = vec![0u8; COPY_BYTES];
        loop {
            if self.cancel.is_cancelled() {
                return Err(canceled());
            }
            let count = content.read(&mut buffer).map_err(|error| broken(&error))?;
            if count == 0 {
                return Ok(());
            }
            self.size_bytes = self.size_bytes.saturating_add(count as u64);
            if self.size_bytes > self.limits.source_bytes_max {
                return Err(size_failure(self.limits));
            }
            file.write_all(buffer.get(..count).unwrap_or_default()).map_err(|error| disk_failure(&error, "unpack the archive"))?;
        }
    }

    fn link(&mut self, path: &Path, target: &Path) -> Result<(), Failure> {
        self.parent(path)?;
        self.claim(path)?;
        if !tree::stays_inside(path.parent().unwrap_or(Path::new("")), target) {
            return Err(refused(
                &path.to_string_lossy(),
                &format!("it is a link that leads out of the archive (to “{}”)", target.display()),
            ));
        }
        self.links.push((path.to_path_buf(), target.to_path_buf()));
        Ok(())
    }

    fn hard_link(&mut self, path: &Path, target: &[u8]) -> Result<(), Failure> {
        self.parent(path)?;
        self.claim(path)?;
        let target = self.enter(target)?.ok_or_else(|| refused(&path.to_string_lossy(), "it is a hard link to nothing"))?;
        self.hard_links.push((path.to_path_buf(), target));
        Ok(())
    }

    fn parent(&mut self, path: &Path) -> Result<(), Failure> {
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.folder(parent),
            _ => Ok(()),
        }
    }

    /// Links come last. A hard link becomes a copy of a file of the archive.
    fn finish(&mut self) -> Result<(), Failure> {
        for (path, target) in std::mem::take(&mut self.hard_links) {
            let written = |error: io::Error| disk_failure(&error, "unpack the archive");
            let source = self.root.join(&target);
            let size_bytes = match std::fs::symlink_metadata(&source) {
                Ok(metadata) if metadata.is_file() => metadata.len(),
                _ => return Err(refused(&path.to_string_lossy(), "it is a hard link to something that is no file of the archive")),
            };
            self.size_bytes = self.size_bytes.saturating_add(size_bytes);
            if self.size_bytes > self.limits.source_bytes_max {
                return Err(size_failure(self.limits));
            }
            std::fs::copy(source, self.root.join(&path)).map_err(written)?;
        }
        for (path, target) in std::mem::take(&mut self.links) {
            std::os::unix::fs::symlink(target, self.root.join(path)).map_err(|error| disk_failure(&error, "unpack the archive"))?;
        }
        if self.files == 0 {
            return Err(source_failure("The archive holds no file.", "Upload an archive with the files of the app."));
        }
        Ok(())
    }
}

fn unzip(file: File, target: &mut Target<'_>) -> Result<(), Failure> {
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|error| broken(&error))?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| match error {
            zip::result::ZipError::Io(error) => broken(&error),
            other => source_failure(
                format!("The archive cannot be read: {other}."),
                "Pack it again as a plain zip (deflate, no encryption) or tar.gz.",
            ),
        })?;
        let raw = entry.name_raw().to_vec();
        let Some(path) = target.enter(&raw)? else { continue };
        let mode = entry.unix_mode().unwrap_or(0o644);
        match mode & 0o170_000 {
            0o120_000 => {
                let mut text = String::new();
                entry.by_ref().take(LINK_BYTES_MAX).read_to_string(&mut text).map_err(|error| broken(&error))?;
                target.link(&path, Path::new(&text))?;
            }
            0o040_000 => target.folder(&path)?,
            _ if entry.is_dir() || raw.ends_with(b"/") => target.folder(&path)?,
            0 | 0o100_000 => target.file(&path, mode & 0o7777, entry)?,
            _ => return Err(refused(&path.to_string_lossy(), "it is neither a file, a folder nor a link")),
        }
    }
    Ok(())
}

fn untar(reader: impl Read, target: &mut Target<'_>) -> Result<(), Failure> {
    use tar::EntryType;
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries().map_err(|error| broken(&error))? {
        let entry = entry.map_err(|error| broken(&error))?;
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            continue;
        }
        let Some(path) = target.enter(&entry.path_bytes())? else { continue };
        let mode = entry.header().mode().map_err(|error| broken(&error))?;
        match kind {
            EntryType::Directory => target.folder(&path)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => target.file(&path, mode & 0o7777, entry)?,
            EntryType::Symlink => {
                let link = entry.link_name().ok().flatten().ok_or_else(|| refused(&path.to_string_lossy(), "it is a link to nothing"))?;
                target.link(&path, &link)?;
            }
            EntryType::Link => {
                let link = entry.link_name_bytes().ok_or_else(|| refused(&path.to_string_lossy(), "it is a link to nothing"))?.into_owned();
                target.hard_link(&path, &link)?;
            }
            _ => return Err(refused(&path.to_string_lossy(), "it is a device, a pipe or another special file")),
        }
    }
    Ok(())
}

fn refused(name: &str, reason: &str) -> Failure {
    source_failure(
        format!("The archive was refused: “{name}” cannot be unpacked because {reason}."),
        "Pack the archive again without that entry.",
    )
}

fn broken(error: &dyn std::error::Error) -> Failure {
    let text = error.to_string();
    if text.contains("No space left") {
        return disk_full();
    }
    source_failure(format!("The archive cannot be read: {text}."), "Upload a whole zip, tar or tar.gz archive.")
}

fn sha256(file: &mut File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; COPY_BYTES];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hash.update(buffer.get(..count).unwrap_or_default());
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The one folder at the root when there is nothing beside it, else the root.
fn single_folder(root: &Path) -> io::Result<PathBuf> {
    let mut entries = std::fs::read_dir(root)?.collect::<io::Result<Vec<_>>>()?;
    entries.retain(|entry| entry.file_name() != "__MACOSX" && entry.file_name() != ".DS_Store");
    match entries.as_slice() {
        [only] if only.file_type()?.is_dir() => Ok(only.path()),
        _ => Ok(root.to_path_buf()),
    }
}

//! The file format: writing it, and reading it without trusting it.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::error::{RecoveryError, Result, file};
use super::manifest::{FileEntry, hex};

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const MAC: &str = "manifest.mac";
/// A manifest of a million files fits.
const HEAD_SIZE_BYTES_MAX: u64 = 256 * 1024 * 1024;
const BUFFER_SIZE_BYTES: usize = 256 * 1024;

/// Size and digest of a file, read once.
pub(super) fn entry(path: &Path, name: String) -> Result<FileEntry> {
    let mut source = File::open(path).map_err(file(path))?;
    let (size_bytes, sha256) = copy(&mut source, &mut std::io::sink(), u64::MAX).map_err(file(path))?;
    Ok(FileEntry { path: name, size_bytes, sha256 })
}

/// Copies at most `limit` bytes and gives how many and their digest.
fn copy(source: &mut impl Read, target: &mut impl Write, limit: u64) -> std::io::Result<(u64, String)> {
    let (mut digest, mut size, mut buffer) = (Sha256::new(), 0u64, vec![0; BUFFER_SIZE_BYTES]);
    let mut source = source.take(limit);
    loop {
        let count = source.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        digest.update(bytes);
        target.write_all(bytes)?;
        size += u64::try_from(count).unwrap_or(0);
    }
    Ok((size, hex(&digest.finalize())))
}

pub(super) struct Writer {
    path: PathBuf,
    tar: tar::Builder<GzEncoder<BufWriter<File>>>,
    time: u64,
}

impl Writer {
    /// A new file, for its owner alone.
    pub(super) fn create(path: &Path, time: u64) -> Result<Self> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let target = opened.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => RecoveryError::Exists { path: path.to_owned() },
            _ => file(path)(error),
        })?;
        let tar = tar::Builder::new(GzEncoder::new(BufWriter::new(target), Compression::default()));
        Ok(Self { path: path.to_owned(), tar, time })
    }

    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.put(name, size, bytes)
    }

    /// The file's first bytes, as many as the manifest says: one that grows meanwhile is cut, not torn.
    pub(super) fn file(&mut self, entry: &FileEntry, source: &Path) -> Result<()> {
        let opened = File::open(source).map_err(file(source))?;
        self.put(&entry.path, entry.size_bytes, opened.take(entry.size_bytes))
    }

    pub(super) fn finish(self) -> Result<()> {
        let path = self.path;
        let finished =
            self.tar.into_inner().and_then(GzEncoder::finish).and_then(|buffer| buffer.into_inner().map_err(|error| error.into_error()));
        finished.and_then(|target| target.sync_all()).map_err(file(&path))
    }

    fn put(&mut self, name: &str, size: u64, source: impl Read) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_mtime(self.time);
        self.tar.append_data(&mut header, name, source).map_err(file(&self.path))
    }
}

/// Head of an archive: read before anything is unpacked.
pub(super) struct Head {
    pub(super) manifest: Vec<u8>,
    pub(super) mac: String,
    /// The third entry, if it is the key.
    pub(super) key: Option<Vec<u8>>,
}

pub(super) fn read_head(path: &Path) -> Result<Head> {
    let mut archive = open(path)?;
    let mut entries = archive.entries().map_err(not_a_backup)?;
    let mut next = |wanted: &str| -> Result<Option<Vec<u8>>> {
        let Some(entry) = entries.next() else { return Ok(None) };
        let mut entry = entry.map_err(not_a_backup)?;
        if entry.path().map_err(not_a_backup)?.as_os_str() != wanted {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        Read::by_ref(&mut entry).take(HEAD_SIZE_BYTES_MAX).read_to_end(&mut bytes).map_err(not_a_backup)?;
        Ok(Some(bytes))
    };
    let missing = |name: &str| RecoveryError::NotABackup(format!("it does not begin with {name}"));
    let manifest = next(MANIFEST)?.ok_or_else(|| missing(MANIFEST))?;
    let mac = next(MAC)?.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| missing(MAC))?;
    Ok(Head { manifest, mac, key: next(super::files::KEY)? })
}

/// Unpacks what the (verified) manifest lists into an empty folder; every file is there with its size and digest, and
/// nothing else.
pub(super) fn unpack(path: &Path, entries: &[FileEntry], folder: &Path) -> Result<()> {
    let mut wanted: BTreeMap<&str, &FileEntry> = entries.iter().map(|entry| (entry.path.as_str(), entry)).collect();
    let mut archive = open(path)?;
    for entry in archive.entries().map_err(not_a_backup)? {
        let mut entry = entry.map_err(damaged)?;
        let name = entry.path().map_err(damaged)?.to_str().map(str::to_owned).unwrap_or_default();
        if name == MANIFEST || name == MAC {
            continue;
        }
        let listed =
            wanted.remove(name.as_str()).ok_or_else(|| RecoveryError::Damaged(format!("{name:?} is not in its list of contents")))?;
        if !entry.header().entry_type().is_file() {
            return Err(RecoveryError::Damaged(format!("{name:?} is not a file")));
        }
        let target = folder.join(plain(&name)?);
        if let Some(parent) = target.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(file(parent))?;
        }
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target).map_err(file(&target))?;
        let (size, sha256) = copy(&mut entry, &mut out, listed.size_bytes.saturating_add(1)).map_err(damaged)?;
        if size != listed.size_bytes || sha256 != listed.sha256 {
            return Err(RecoveryError::Damaged(format!("{name:?} is not what its list of contents says")));
        }
        out.sync_all().map_err(file(&target))?;
    }
    match wanted.keys().next() {
        Some(name) => Err(RecoveryError::Damaged(format!("{name:?} is missing"))),
        None => Ok(()),
    }
}

/// A relative path without `..`.
fn plain(name: &str) -> Result<&Path> {
    let path = Path::new(name);
    let is_plain = !name.is_empty() && path.components().all(|part| matches!(part, Component::Normal(_)));
    if is_plain { Ok(path) } else { Err(RecoveryError::Damaged(format!("{name:?} leads out of the folder"))) }
}

fn open(path: &Path) -> Result<tar::Archive<GzDecoder<BufReader<File>>>> {
    Ok(tar::Archive::new(GzDecoder::new(BufReader::new(File::open(path).map_err(file(path))?))))
}

fn not_a_backup(error: std::io::Error) -> RecoveryError {
    RecoveryError::NotABackup(error.to_string())
}

fn damaged(error: std::io::Error) -> RecoveryError {
    RecoveryError::Damaged(error.to_string())
}

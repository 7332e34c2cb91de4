//! Small files that survive a power cut, one per id: written whole and synced before the call returns, a checksum in the first
//! line, the version before beside it, nobody else can read them.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::routes::validate_id;

const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
const SUM: &str = " sha256=";
const PREVIOUS: &str = "previous";
const WRITING: &str = "writing";
const CORRUPT: &str = "corrupt";

/// A folder of files of one kind.
#[derive(Debug)]
pub struct Versions {
    folder: PathBuf,
    /// How the name of a current file ends.
    current: &'static str,
}

/// One file, read; its checksum not yet looked at.
#[derive(Debug)]
pub struct Content {
    /// Kind and format: the first line before the checksum.
    pub format: String,
    sum: String,
    body: Vec<u8>,
}

impl Content {
    /// # Errors
    /// `InvalidData` when the checksum does not fit.
    pub fn body(&self) -> io::Result<&[u8]> {
        if self.sum == checksum(&self.body) { Ok(&self.body) } else { Err(damaged("the checksum does not fit")) }
    }
}

/// What [`Versions::load`] found.
#[derive(Debug)]
pub struct Found<T> {
    pub value: T,
    /// The current file was damaged; this is the version before it.
    pub is_last_good: bool,
}

impl Versions {
    /// Makes the folder (mode 0700) where it is missing.
    pub fn open(state_dir: &Path, name: &str, current: &'static str) -> io::Result<Self> {
        let folder = state_dir.join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder, current })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every id with a version; what a killed writer left is removed.
    pub fn ids(&self) -> io::Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let Some((id, kind)) = name.to_str().and_then(|name| name.rsplit_once('.')) else { continue };
            if (kind == self.current || kind == PREVIOUS) && validate_id(id).is_ok() {
                ids.insert(id.to_owned());
            } else if kind == WRITING {
                remove_if_there(&self.folder.join(&name))?;
            }
        }
        Ok(ids)
    }

    /// Replaces one file. After `Ok` it survives a power cut. When it fails, the current file is the one before or the new one,
    /// never a mixture; nothing is synced twice, since a failed sync says nothing about the next.
    pub fn write(&self, id: &str, format: &str, body: &[u8]) -> io::Result<()> {
        validate(id)?;
        let (writing, current, previous) = (self.path(id, WRITING), self.current(id), self.path(id, PREVIOUS));
        let result = write_synced(&writing, format, body).and_then(|()| {
            if current.exists() {
                remove_if_there(&previous)?;
                fs::hard_link(&current, &previous)?;
            }
            fs::rename(&writing, &current)
        });
        if let Err(error) = result {
            remove_if_there(&writing).unwrap_or_default();
            return Err(error);
        }
        File::open(&self.folder)?.sync_all()
    }

    /// The current version, or the one before when it is damaged.
    pub fn read<T>(&self, id: &str, parse: impl Fn(&Content) -> io::Result<T>) -> io::Result<T> {
        validate(id)?;
        let read = |path: &Path| parse(&content(path)?);
        read(&self.current(id)).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Err(error),
            _ => read(&self.path(id, PREVIOUS)).map_err(|_| error),
        })
    }

    /// Like [`Versions::read`]; a damaged file is also set aside, so that the next write makes no last good version of it. Each thing
    /// that is not as it should be is one sentence about `what` in `warnings`. A file of an unsupported format stays as it is.
    pub fn load<T>(&self, id: &str, what: &str, warnings: &mut Vec<String>, parse: impl Fn(&Content) -> io::Result<T>) -> Option<Found<T>> {
        let read = |path: &Path| parse(&content(path)?);
        match read(&self.current(id)) {
            Ok(value) => return Some(Found { value, is_last_good: false }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                warnings.push(format!("{what} is not served: {error}"));
                return None;
            }
            Err(error) => {
                warnings.push(format!("{what} is damaged ({error}); the version before it is used"));
                if let Err(error) = fs::rename(self.current(id), self.path(id, CORRUPT)) {
                    warnings.push(format!("{what} is damaged and cannot be set aside: {error}"));
                }
            }
        }
        match read(&self.path(id, PREVIOUS)) {
            Ok(value) => Some(Found { value, is_last_good: true }),
            Err(error) => {
                warnings.push(format!("no usable version of {what}: {error}"));
                None
            }
        }
    }

    /// Removes every version.
    pub fn remove(&self, id: &str) -> io::Result<()> {
        validate(id)?;
        for path in [self.path(id, WRITING), self.path(id, PREVIOUS), self.path(id, CORRUPT), self.current(id)] {
            remove_if_there(&path)?;
        }
        File::open(&self.folder)?.sync_all()
    }

    pub fn current(&self, id: &str) -> PathBuf {
        self.path(id, self.current)
    }

    fn path(&self, id: &str, kind: &str) -> PathBuf {
        self.folder.join(format!("{id}.{kind}"))
    }
}

pub fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn validate(id: &str) -> io::Result<()> {
    validate_id(id).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn write_synced(path: &Path, format: &str, body: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut content = format!("{format}{SUM}{}\n", checksum(body)).into_bytes();
    content.extend_from_slice(body);
    file.write_all(&content)?;
    file.sync_all()
}

fn content(path: &Path) -> io::Result<Content> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    let line_end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("no first line"))?;
    let body = bytes.split_off(line_end + 1);
    let line = std::str::from_utf8(&bytes).ok().and_then(|line| line.trim_end_matches('\n').split_once(SUM));
    let (format, sum) = line.ok_or_else(|| damaged("no checksum"))?;
    Ok(Content { format: format.to_owned(), sum: sum.to_owned(), body })
}

fn checksum(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

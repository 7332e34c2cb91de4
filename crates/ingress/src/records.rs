//! Small records on disk, one file each, with the same promises as routes: written whole and synced before the call returns,
//! a checksum in the first line, the version before beside it, nobody else can read them.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    marker::PhantomData,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::routes::validate_id;

const RECORD_BYTES_MAX: u64 = 4 * 1024 * 1024;
const MAGIC: &str = "seaway-record/1 sha256=";
const CURRENT: &str = "current";
const PREVIOUS: &str = "previous";
const WRITING: &str = "writing";
const CORRUPT: &str = "corrupt";

/// A folder of records of one kind.
#[derive(Debug)]
pub struct Records<T> {
    folder: PathBuf,
    kind: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Records<T> {
    /// Makes the folder (mode 0700) where it is missing.
    pub fn open(state_dir: &Path, name: &str) -> io::Result<Self> {
        let folder = state_dir.join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder, kind: PhantomData })
    }

    /// Every readable record with its id. A damaged one is set aside and the version before it is used; each such thing is one
    /// sentence in `warnings`.
    pub fn load(&self, warnings: &mut Vec<String>) -> Vec<(String, T)> {
        let ids = match self.ids() {
            Ok(ids) => ids,
            Err(error) => {
                warnings.push(format!("{} cannot be listed: {error}", self.folder.display()));
                return Vec::new();
            }
        };
        ids.into_iter().filter_map(|id| self.load_one(&id, warnings).map(|record| (id, record))).collect()
    }

    /// One record, or the version before it when it is damaged.
    pub fn read(&self, id: &str) -> io::Result<T> {
        validate_id(id).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        read(&self.path(id, CURRENT)).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Err(error),
            _ => read(&self.path(id, PREVIOUS)).map_err(|_| error),
        })
    }

    /// Replaces one record. After `Ok` it survives a power cut.
    pub fn write(&self, id: &str, record: &T) -> io::Result<()> {
        validate_id(id).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let body = serde_json::to_vec(record).map_err(io::Error::other)?;
        let (writing, current, previous) = (self.path(id, WRITING), self.path(id, CURRENT), self.path(id, PREVIOUS));
        let result = write_synced(&writing, &body).and_then(|()| {
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

    /// Removes every version of one record.
    pub fn remove(&self, id: &str) -> io::Result<()> {
        validate_id(id).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        for kind in [WRITING, PREVIOUS, CORRUPT, CURRENT] {
            remove_if_there(&self.path(id, kind))?;
        }
        File::open(&self.folder)?.sync_all()
    }

    fn load_one(&self, id: &str, warnings: &mut Vec<String>) -> Option<T> {
        let current = self.path(id, CURRENT);
        match read(&current) {
            Ok(record) => return Some(record),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                warnings.push(format!("{} is damaged ({error}); the version before it is used", current.display()));
                if let Err(error) = fs::rename(&current, self.path(id, CORRUPT)) {
                    warnings.push(format!("{} cannot be set aside: {error}", current.display()));
                }
            }
        }
        match read(&self.path(id, PREVIOUS)) {
            Ok(record) => Some(record),
            Err(error) => {
                warnings.push(format!("no usable version of {}: {error}", current.display()));
                None
            }
        }
    }

    fn ids(&self) -> io::Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let Some((id, kind)) = name.to_str().and_then(|name| name.rsplit_once('.')) else { continue };
            match kind {
                CURRENT | PREVIOUS if validate_id(id).is_ok() => {
                    ids.insert(id.to_owned());
                }
                WRITING => remove_if_there(&self.folder.join(&name))?,
                _ => {}
            }
        }
        Ok(ids)
    }

    fn path(&self, id: &str, kind: &str) -> PathBuf {
        self.folder.join(format!("{id}.{kind}"))
    }
}

fn write_synced(path: &Path, body: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut content = format!("{MAGIC}{}\n", checksum(body)).into_bytes();
    content.extend_from_slice(body);
    file.write_all(&content)?;
    file.sync_all()
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut content = Vec::new();
    File::open(path)?.take(RECORD_BYTES_MAX + 1).read_to_end(&mut content)?;
    let line_end = content.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("no first line"))?;
    let (line, body) = content.split_at(line_end);
    let body = body.get(1..).unwrap_or_default();
    let sum = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix(MAGIC)).ok_or_else(|| damaged("no checksum"))?;
    if sum != checksum(body) {
        return Err(damaged("the checksum does not fit"));
    }
    serde_json::from_slice(body).map_err(|error| damaged(&error.to_string()))
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

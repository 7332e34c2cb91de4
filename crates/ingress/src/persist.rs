//! Routes on disk: one file per service.
//!
//! One file per service, because a change then costs the same two syncs (file, folder) with one service and with ten
//! thousand, services change independently, and a damaged file costs one service, not all. The first line carries the
//! SHA-256 of the rest. The previous version stays beside it as last good one.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::routes::{ServiceRoute, validate_id};

/// A removed service keeps its generation this long, so that an overtaken worker cannot bring it back.
pub const TOMBSTONE_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
const ROUTE_BYTES_MAX: u64 = 4 * 1024 * 1024;
const MAGIC: &str = "seaway-route/";
const SUM: &str = " sha256=";
/// Version 1 knows whole hosts only; what it can read without losing a policy is written as 1.
const VERSION_PLAIN: u32 = 1;
const VERSION: u32 = 2;
const CURRENT: &str = "route";
const PREVIOUS: &str = "previous";
const WRITING: &str = "writing";
const CORRUPT: &str = "corrupt";

/// What one file holds. Without a route: the service was removed at this generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub service: String,
    pub generation: u64,
    pub route: Option<ServiceRoute>,
}

#[derive(Debug, Default)]
pub struct Loaded {
    pub services: Vec<LoadedService>,
    /// One sentence for each thing that was not as it should be.
    pub warnings: Vec<String>,
}

#[derive(Debug)]
pub struct LoadedService {
    pub stored: Stored,
    /// The current file was damaged; this is the version before it.
    pub is_last_good: bool,
}

#[derive(Debug)]
pub struct RouteStore {
    folder: PathBuf,
}

impl RouteStore {
    /// Makes the folder (mode 0700) where it is missing.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let folder = state_dir.join("routes");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    /// Reads every service; never fails as a whole. A damaged file is set aside and the version before it is used.
    pub fn load(&self, now: SystemTime) -> Loaded {
        let mut loaded = Loaded::default();
        let ids = match self.ids() {
            Ok(ids) => ids,
            Err(error) => {
                loaded.warnings.push(format!("the routes in {} cannot be listed: {error}", self.folder.display()));
                return loaded;
            }
        };
        for id in ids {
            match self.load_one(&id, &mut loaded.warnings) {
                Some(service) if self.is_old_tombstone(&service.stored, now) => self.forget(&id),
                Some(service) => loaded.services.push(service),
                None => {}
            }
        }
        loaded
    }

    /// Replaces the file of one service. When this returns `Ok`, it survives a power cut. When it fails, the current file
    /// is the one before or the new one, never a mixture; nothing is synced twice, since a failed sync says nothing about
    /// the next.
    pub fn write(&self, stored: &Stored) -> io::Result<()> {
        validate_id(&stored.service).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let body = serde_json::to_vec(stored).map_err(io::Error::other)?;
        let writing = self.path(&stored.service, WRITING);
        let current = self.path(&stored.service, CURRENT);
        let previous = self.path(&stored.service, PREVIOUS);
        let version = if stored.route.as_ref().is_none_or(ServiceRoute::is_plain) { VERSION_PLAIN } else { VERSION };
        let result = write_synced(&writing, version, &body).and_then(|()| {
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

    fn load_one(&self, id: &str, warnings: &mut Vec<String>) -> Option<LoadedService> {
        let current = self.path(id, CURRENT);
        match read(&current, id) {
            Ok(stored) => {
                return Some(LoadedService { stored, is_last_good: false });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                // It stays for that newer version. The one before would lack what the owner has closed since.
                warnings.push(format!("the route of {id} is not served: {error}"));
                return None;
            }
            Err(error) => {
                warnings.push(format!("the route of {id} is damaged ({error}); the version before it is used"));
                // Set aside: the next write must not make a last good version of it.
                if let Err(error) = fs::rename(&current, self.path(id, CORRUPT)) {
                    warnings.push(format!("the damaged route of {id} cannot be set aside: {error}"));
                }
            }
        }
        match read(&self.path(id, PREVIOUS), id) {
            Ok(stored) => Some(LoadedService { stored, is_last_good: true }),
            Err(error) => {
                warnings.push(format!("no usable route of {id}: {error}"));
                None
            }
        }
    }

    fn ids(&self) -> io::Result<BTreeSet<String>> {
        let mut ids = BTreeSet::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let Some((id, kind)) = name.to_str().and_then(|name| name.rsplit_once('.')) else {
                continue;
            };
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

    fn is_old_tombstone(&self, stored: &Stored, now: SystemTime) -> bool {
        let written = fs::metadata(self.path(&stored.service, CURRENT)).and_then(|data| data.modified());
        let age = written.ok().and_then(|written| now.duration_since(written).ok());
        stored.route.is_none() && age.is_some_and(|age| age > TOMBSTONE_KEPT)
    }

    fn forget(&self, id: &str) {
        for kind in [PREVIOUS, CORRUPT, CURRENT] {
            remove_if_there(&self.path(id, kind)).unwrap_or_default();
        }
    }

    fn path(&self, id: &str, kind: &str) -> PathBuf {
        self.folder.join(format!("{id}.{kind}"))
    }
}

fn write_synced(path: &Path, version: u32, body: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut content = format!("{MAGIC}{version}{SUM}{}\n", checksum(body)).into_bytes();
    content.extend_from_slice(body);
    file.write_all(&content)?;
    file.sync_all()
}

fn read(path: &Path, id: &str) -> io::Result<Stored> {
    let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut content = Vec::new();
    File::open(path)?.take(ROUTE_BYTES_MAX + 1).read_to_end(&mut content)?;
    let line_end = content.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged("no first line"))?;
    let (line, body) = content.split_at(line_end);
    let body = body.get(1..).unwrap_or_default();
    let line = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix(MAGIC)).and_then(|line| line.split_once(SUM));
    let (version, sum) = line.ok_or_else(|| damaged("no checksum"))?;
    let version: u32 = version.parse().map_err(|_| damaged("no version"))?;
    if version > VERSION {
        return Err(io::Error::new(io::ErrorKind::Unsupported, format!("it was written by a newer version of Seaway (format {version})")));
    }
    if sum != checksum(body) {
        return Err(damaged("the checksum does not fit"));
    }
    let stored: Stored = serde_json::from_slice(body).map_err(|error| damaged(&error.to_string()))?;
    if stored.service != id || stored.route.as_ref().is_some_and(|route| route.service != id) {
        return Err(damaged("it belongs to another service"));
    }
    if let Some(route) = &stored.route {
        route.validate().map_err(|error| damaged(&error.to_string()))?;
    }
    Ok(stored)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_is_kept_for_a_week_and_leftovers_of_a_kill_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = RouteStore::open(folder.path()).unwrap();
        let tombstone = Stored { service: "svc".to_owned(), generation: 7, route: None };
        store.write(&tombstone).unwrap();
        let half_written = folder.path().join("routes/other.writing");
        fs::write(&half_written, "half").unwrap();
        let now = SystemTime::now();
        let loaded = store.load(now);
        assert_eq!(loaded.services.iter().map(|service| &service.stored).collect::<Vec<_>>(), [&tombstone]);
        assert!(loaded.warnings.is_empty() && !half_written.exists());
        assert!(store.load(now + TOMBSTONE_KEPT + Duration::from_secs(60)).services.is_empty());
        assert_eq!(fs::read_dir(folder.path().join("routes")).unwrap().count(), 0);
        let escape = Stored { service: "../x".to_owned(), generation: 1, route: None };
        assert!(store.write(&escape).is_err());
    }
}

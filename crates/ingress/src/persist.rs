//! Routes on disk: one file per service.
//!
//! One file per service, because a change then costs the same two syncs (file, folder) with one service and with ten
//! thousand, services change independently, and a damaged file costs one service, not all. The first line carries the
//! SHA-256 of the rest. The previous version stays beside it as last good one.

use std::{
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{
    routes::ServiceRoute,
    versions::{Content, Versions, damaged},
};

/// A removed service keeps its generation this long, so that an overtaken worker cannot bring it back.
pub const TOMBSTONE_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
const FORMAT: &str = "seaway-route/";
/// Version 1 knows whole hosts only; what it can read without losing a policy is written as 1.
const VERSION_PLAIN: u32 = 1;
const VERSION: u32 = 2;

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
    versions: Versions,
}

impl RouteStore {
    /// Makes the folder (mode 0700) where it is missing.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        Ok(Self { versions: Versions::open(state_dir, "routes", "route")? })
    }

    /// Reads every service; never fails as a whole. A damaged file is set aside and the version before it is used. One of a newer
    /// format stays for that newer version: the one before would lack what the owner has closed since.
    pub fn load(&self, now: SystemTime) -> Loaded {
        let mut loaded = Loaded::default();
        let ids = match self.versions.ids() {
            Ok(ids) => ids,
            Err(error) => {
                loaded.warnings.push(format!("the routes in {} cannot be listed: {error}", self.versions.folder().display()));
                return loaded;
            }
        };
        for id in ids {
            let what = format!("the route of {id}");
            match self.versions.load(&id, &what, &mut loaded.warnings, |content| parse(content, &id)) {
                // What stays for once is tried again at the next start.
                Some(found) if self.is_old_tombstone(&found.value, now) => self.versions.remove(&id).unwrap_or_default(),
                Some(found) => loaded.services.push(LoadedService { stored: found.value, is_last_good: found.is_last_good }),
                None => {}
            }
        }
        loaded
    }

    /// Replaces the file of one service: two syncs (file, folder).
    pub fn write(&self, stored: &Stored) -> io::Result<()> {
        let version = if stored.route.as_ref().is_none_or(ServiceRoute::is_plain) { VERSION_PLAIN } else { VERSION };
        let body = serde_json::to_vec(stored).map_err(io::Error::other)?;
        self.versions.write(&stored.service, &format!("{FORMAT}{version}"), &body)
    }

    fn is_old_tombstone(&self, stored: &Stored, now: SystemTime) -> bool {
        let written = std::fs::metadata(self.versions.current(&stored.service)).and_then(|data| data.modified());
        let age = written.ok().and_then(|written| now.duration_since(written).ok());
        stored.route.is_none() && age.is_some_and(|age| age > TOMBSTONE_KEPT)
    }
}

fn parse(content: &Content, id: &str) -> io::Result<Stored> {
    let version = content.format.strip_prefix(FORMAT).ok_or_else(|| damaged("no checksum"))?;
    let version: u32 = version.parse().map_err(|_| damaged("no version"))?;
    if version > VERSION {
        return Err(io::Error::new(io::ErrorKind::Unsupported, format!("it was written by a newer version of Seaway (format {version})")));
    }
    let stored: Stored = serde_json::from_slice(content.body()?).map_err(|error| damaged(&error.to_string()))?;
    if stored.service != id || stored.route.as_ref().is_some_and(|route| route.service != id) {
        return Err(damaged("it belongs to another service"));
    }
    if let Some(route) = &stored.route {
        route.validate().map_err(|error| damaged(&error.to_string()))?;
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use std::fs;

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

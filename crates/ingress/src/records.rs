//! Small records on disk, one file each, with the same promises as routes.

use std::{io, marker::PhantomData, path::Path};

use serde::{Serialize, de::DeserializeOwned};

use crate::versions::{Content, Versions, damaged};

const FORMAT: &str = "seaway-record/1";

/// A folder of records of one kind.
#[derive(Debug)]
pub struct Records<T> {
    versions: Versions,
    kind: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Records<T> {
    /// Makes the folder (mode 0700) where it is missing.
    pub fn open(state_dir: &Path, name: &str) -> io::Result<Self> {
        Ok(Self { versions: Versions::open(state_dir, name, "current")?, kind: PhantomData })
    }

    /// Every readable record with its id. A damaged one is set aside and the version before it is used; each such thing is one
    /// sentence in `warnings`.
    pub fn load(&self, warnings: &mut Vec<String>) -> Vec<(String, T)> {
        let ids = match self.versions.ids() {
            Ok(ids) => ids,
            Err(error) => {
                warnings.push(format!("{} cannot be listed: {error}", self.versions.folder().display()));
                return Vec::new();
            }
        };
        let load = |id: String| {
            let what = self.versions.current(&id).display().to_string();
            let found = self.versions.load(&id, &what, warnings, parse)?;
            Some((id, found.value))
        };
        ids.into_iter().filter_map(load).collect()
    }

    /// One record, or the version before it when it is damaged.
    pub fn read(&self, id: &str) -> io::Result<T> {
        self.versions.read(id, parse)
    }

    /// Replaces one record. After `Ok` it survives a power cut.
    pub fn write(&self, id: &str, record: &T) -> io::Result<()> {
        self.versions.write(id, FORMAT, &serde_json::to_vec(record).map_err(io::Error::other)?)
    }

    /// Removes every version of one record.
    pub fn remove(&self, id: &str) -> io::Result<()> {
        self.versions.remove(id)
    }
}

fn parse<T: DeserializeOwned>(content: &Content) -> io::Result<T> {
    if content.format != FORMAT {
        return Err(damaged("no checksum"));
    }
    serde_json::from_slice(content.body()?).map_err(|error| damaged(&error.to_string()))
}

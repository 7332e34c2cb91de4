//! The last desired state of every service, on disk: what the server needs to keep apps and routes alive while the control
//! plane is away or the machine restarts.
//!
//! Invariant: no value of a variable, file or secret is in it; containers hold those themselves. Every file is written whole
//! (temporary file, fsync, rename) and carries a checksum; a damaged one is put aside, never guessed at.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use domain::deployment::{Cause, Failure, Step};
use domain::id::{DeploymentId, EnvironmentId, ReleaseId, ServiceId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One service on this server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRecord {
    pub service: ServiceId,
    pub environment: EnvironmentId,
    /// Of the last accepted order; a lower one is refused.
    pub fence: u64,
    /// What serves, or what served before it was stopped.
    pub serving: Option<Serving>,
    /// An operation that began and has not ended.
    pub pending: Option<DeploymentId>,
    pub stopped: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    pub operation: DeploymentId,
    pub release: ReleaseId,
    pub version: u64,
    pub image: String,
    pub port: u16,
    pub hosts: Vec<String>,
    pub request_body_bytes_max: u64,
    pub request_timeout_seconds: u32,
    pub drain_seconds: u32,
    pub stop_grace_seconds: u32,
    pub restarts_max: u32,
    pub replicas: Vec<ServingReplica>,
    /// Names of the variables whose values are masked in the runtime log. After a restart of the agent the values are read
    /// from the container.
    pub masked_variables: Vec<String>,
    pub gap_ms: Option<u64>,
    pub healthy_after_ms: u64,
    pub requests_cut: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServingReplica {
    pub container: String,
    pub process: String,
    pub replica: u32,
    /// Given up after too many restarts.
    #[serde(default)]
    pub crashed: bool,
    #[serde(default)]
    pub crashed_at: Option<DateTime<Utc>>,
}

impl Serving {
    pub fn has(&self, container: &str) -> bool {
        self.replicas.iter().any(|replica| replica.container == container)
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    sha256: String,
    record: serde_json::Value,
}

/// All records, in memory and on disk.
pub struct States {
    folder: PathBuf,
    records: Mutex<BTreeMap<ServiceId, ServiceRecord>>,
}

impl States {
    /// Reads every record. Answers also what was damaged and put aside.
    pub fn open(folder: PathBuf) -> std::io::Result<(Self, Vec<String>)> {
        fs::create_dir_all(&folder)?;
        let (mut records, mut damaged) = (BTreeMap::new(), Vec::new());
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            match read(&path) {
                Ok(record) => {
                    records.insert(record.service, record);
                }
                Err(reason) => {
                    damaged.push(format!("{}: {reason}", path.display()));
                    fs::rename(&path, path.with_extension("damaged"))?;
                }
            }
        }
        Ok((Self { folder, records: Mutex::new(records) }, damaged))
    }

    pub fn find(&self, service: ServiceId) -> Option<ServiceRecord> {
        self.lock().get(&service).cloned()
    }

    pub fn all(&self) -> Vec<ServiceRecord> {
        self.lock().values().cloned().collect()
    }

    /// Answers when it is on disk.
    pub fn save(&self, record: ServiceRecord) -> Result<(), Failure> {
        self.write(&record).map_err(|error| {
            let cause = if error.kind() == std::io::ErrorKind::StorageFull { Cause::DiskFull } else { Cause::Internal };
            Failure::new(
                cause,
                Step::Record,
                format!("The server could not write its state for the service: {error}."),
                "Check the disk of the server, then deploy again.",
            )
        })?;
        self.lock().insert(record.service, record);
        Ok(())
    }

    pub fn remove(&self, service: ServiceId) -> std::io::Result<()> {
        self.lock().remove(&service);
        match fs::remove_file(self.path(service)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ServiceId, ServiceRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, service: ServiceId) -> PathBuf {
        self.folder.join(format!("{service}.json"))
    }

    fn write(&self, record: &ServiceRecord) -> std::io::Result<()> {
        let value = serde_json::to_value(record)?;
        let text = serde_json::to_vec(&Envelope { sha256: checksum(&value), record: value })?;
        let path = self.path(record.service);
        let temporary = path.with_extension("writing");
        let mut file = File::create(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(&self.folder)?.sync_all()
    }
}

fn checksum(record: &serde_json::Value) -> String {
    Sha256::digest(record.to_string().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> Result<ServiceRecord, String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let envelope: Envelope = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if checksum(&envelope.record) != envelope.sha256 {
        return Err("its checksum is wrong".to_owned());
    }
    serde_json::from_value(envelope.record).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{FixedClock, SeededEntropy};

    fn record() -> ServiceRecord {
        let (clock, entropy) = (FixedClock::default(), SeededEntropy::new(1));
        ServiceRecord {
            service: ServiceId::new(&clock, &entropy),
            environment: EnvironmentId::new(&clock, &entropy),
            fence: 7,
            serving: None,
            pending: Some(DeploymentId::new(&clock, &entropy)),
            stopped: false,
        }
    }

    #[test]
    fn survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (states, _) = States::open(folder.path().into()).unwrap();
        states.save(record()).unwrap();
        let (again, damaged) = States::open(folder.path().into()).unwrap();
        assert_eq!(again.find(record().service), Some(record()));
        assert!(damaged.is_empty());
        again.remove(record().service).unwrap();
        assert!(States::open(folder.path().into()).unwrap().0.all().is_empty());
    }

    #[test]
    fn a_damaged_record_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (states, _) = States::open(folder.path().into()).unwrap();
        states.save(record()).unwrap();
        let path = states.path(record().service);
        let text = fs::read_to_string(&path).unwrap().replace("\"fence\":7", "\"fence\":1");
        fs::write(&path, text).unwrap();
        let (again, damaged) = States::open(folder.path().into()).unwrap();
        assert_eq!(again.find(record().service), None);
        assert_eq!(damaged.len(), 1);
        assert!(path.with_extension("damaged").exists());
    }

    #[test]
    fn a_torn_write_leaves_the_previous_record() {
        let folder = tempfile::tempdir().unwrap();
        let (states, _) = States::open(folder.path().into()).unwrap();
        states.save(record()).unwrap();
        fs::write(states.path(record().service).with_extension("writing"), b"{\"sha").unwrap();
        assert_eq!(States::open(folder.path().into()).unwrap().0.all(), vec![record()]);
    }
}

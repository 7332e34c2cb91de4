//! Everything that can be refused is refused here, before the serving release is touched: firewall, network, image, policy.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use domain::deployment::{Cause, Failure, Step};
use domain::id::DeploymentId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::plan::Slot;
use crate::engine::{
    container_name,
    labels::{self, ReplicaLabels},
};
use crate::parts::Parts;
use crate::policy::{self, Approved, HostFacts, MountSources, Role, Wanted};
use crate::protocol::{Desired, DesiredMount};

/// What a rollout needs before it begins.
pub struct Prepared {
    pub specs: BTreeMap<Slot, Approved>,
    pub fingerprints: BTreeMap<String, String>,
    pub sources: MountSources,
}

/// Host, network and mounts of a desired state.
pub struct Ground {
    pub host: HostFacts,
    pub network: String,
    pub sources: MountSources,
}

pub async fn ground(parts: &Parts, desired: &Desired) -> Result<Ground, Failure> {
    // Fail closed: the rules are there before anything of a tenant can run.
    let ((), host, image) = tokio::try_join!(parts.firewall.ensure(), parts.host_facts(), parts.engine.find_image(&desired.image))?;
    if image.is_none() {
        return Err(Failure::new(
            Cause::Image,
            Step::Create,
            format!("The image {} is not on the server.", desired.image),
            "Deploy again to build or pull the image once more.",
        ));
    }
    let network = parts.networks.ensure(desired.environment).await?;
    for mount in &desired.mounts {
        if let DesiredMount::Volume { volume, .. } = mount {
            parts.engine.ensure_volume(&policy::volume_name(*volume), labels::volume(parts.engine.instance(), *volume)).await?;
        }
    }
    let sources = sources(&parts.files_dir(desired.service), desired, &parts.fingerprint_key).map_err(|error| {
        let cause = if error.kind() == io::ErrorKind::StorageFull { Cause::DiskFull } else { Cause::Internal };
        Failure::new(
            cause,
            Step::Create,
            format!("The service's files could not be written on the server: {error}."),
            "Check the disk of the server.",
        )
    })?;
    Ok(Ground { host, network, sources })
}

pub async fn prepare(parts: &Parts, desired: &Desired, operation: DeploymentId) -> Result<Prepared, Failure> {
    let writable = desired.mounts.iter().any(|mount| matches!(mount, DesiredMount::Volume { read_only: false, .. }));
    let replicas: u32 = desired.processes.iter().map(|process| process.replicas).sum();
    if writable && replicas > 1 {
        return Err(policy::Refused {
            field: "processes.replicas".to_owned(),
            reason: format!("{replicas} replicas would write one volume at the same time; a service with a volume has one replica"),
        }
        .into());
    }
    let ground = ground(parts, desired).await?;
    let (mut specs, mut fingerprints) = (BTreeMap::new(), BTreeMap::new());
    for process in &desired.processes {
        let wanted = Wanted { desired, process, host: &ground.host, network: &ground.network, sources: &ground.sources };
        for replica in 1..=process.replicas {
            let labels = ReplicaLabels {
                service: desired.service,
                environment: desired.environment,
                release: desired.release,
                version: desired.version,
                deployment: operation,
                process: process.name.clone(),
                replica,
                fingerprint: String::new(),
            };
            let name = container_name(desired.service, &process.name, replica, operation);
            let spec = policy::approve(&wanted, Role::Replica { labels: Box::new(labels), name })?;
            fingerprints.insert(process.name.clone(), spec.fingerprint().to_owned());
            specs.insert(Slot { process: process.name.clone(), replica }, spec);
        }
    }
    Ok(Prepared { specs, fingerprints, sources: ground.sources })
}

/// Writes the managed files and resolves the bind mounts.
///
/// A file stands in a folder that only root may enter and is itself readable by any uid, because the app inside the container
/// may run as any; it is bind-mounted read-only. It is on disk and not in memory so that the app starts again after a reboot
/// while the control plane is away. Its name is a keyed hash of its content: a changed file is a new file, and the old release
/// keeps the one it has.
fn sources(folder: &Path, desired: &Desired, key: &[u8]) -> io::Result<MountSources> {
    let mut sources = MountSources::default();
    for mount in &desired.mounts {
        match mount {
            DesiredMount::File { path, content } => {
                let name = file_name(content.reveal().as_bytes(), key);
                sources.files.insert(path.clone(), write_file(folder, &name, content.reveal().as_bytes())?);
            }
            DesiredMount::Bind { host_path, .. } => {
                if let Ok(resolved) = fs::canonicalize(host_path) {
                    sources.binds.insert(host_path.clone(), resolved);
                }
            }
            DesiredMount::Volume { .. } | DesiredMount::Tmpfs { .. } => {}
        }
    }
    Ok(sources)
}

fn file_name(content: &[u8], key: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(b"file");
    mac.update(content);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_file(folder: &Path, name: &str, content: &[u8]) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    let path = folder.join(name);
    if path.exists() {
        return Ok(path);
    }
    let temporary = folder.join(format!("{name}.writing"));
    let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o444))?;
    fs::rename(&temporary, &path)?;
    Ok(path)
}

/// Deletes files that no replica uses any more.
pub fn forget_files(folder: &Path, sources: &MountSources) {
    let kept: BTreeSet<&PathBuf> = sources.files.values().collect();
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| !kept.contains(path)) {
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), "a file of an old release could not be removed: {error}");
        }
    }
}

//! Which part of the host or of Seaway's own storage may appear inside a container.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use bollard::models::{Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType, MountVolumeOptions};
use domain::id::VolumeId;

use super::{HostFacts, MOUNTS_MAX, Refused, TMPFS_BYTES_MAX};
use crate::protocol::DesiredMount;

/// Host paths never mounted, even where the operator's allow-list is wider: whoever has one of them has the host.
const NEVER: [&str; 14] =
    ["/", "/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/root", "/run", "/sbin", "/sys", "/usr", "/var/lib/docker", "/var/run"];
/// Targets inside the container that would break or open it.
const TARGETS_NEVER: [&str; 4] = ["/dev", "/proc", "/sys", "/sbin/docker-init"];

/// Where the host keeps what is mounted; found before the policy is asked, so that the policy itself touches no disk.
#[derive(Debug, Clone, Default)]
pub struct MountSources {
    /// Target path of a managed file → file on the host, readable by any uid, inside a folder that only root may enter.
    pub files: BTreeMap<String, PathBuf>,
    /// Host path as asked → the same with every symbolic link resolved.
    pub binds: BTreeMap<String, PathBuf>,
}

/// The engine's name of a volume.
pub fn volume_name(volume: VolumeId) -> String {
    format!("sw-{volume}")
}

type Tmpfs = BTreeMap<String, String>;

pub(super) fn approve(asked: &[DesiredMount], sources: &MountSources, host: &HostFacts) -> Result<(Vec<Mount>, Tmpfs), Refused> {
    if asked.len() > MOUNTS_MAX {
        return Err(Refused::new("mounts", format!("more than {MOUNTS_MAX}")));
    }
    let (mut mounts, mut tmpfs, mut targets) = (Vec::new(), Tmpfs::new(), BTreeSet::new());
    for (index, mount) in asked.iter().enumerate() {
        let path = match mount {
            DesiredMount::Volume { path, .. }
            | DesiredMount::File { path, .. }
            | DesiredMount::Tmpfs { path, .. }
            | DesiredMount::Bind { path, .. } => path,
        };
        target(index, path)?;
        if !targets.insert(path.trim_end_matches('/').to_owned()) {
            return Err(Refused::new(format!("mounts[{index}].path"), format!("`{path}` is mounted twice")));
        }
        match mount {
            DesiredMount::Volume { volume, read_only, .. } => mounts.push(Mount {
                typ: Some(MountType::VOLUME),
                source: Some(volume_name(*volume)),
                target: Some(path.clone()),
                read_only: Some(*read_only),
                volume_options: Some(MountVolumeOptions { no_copy: Some(*read_only), ..Default::default() }),
                ..Default::default()
            }),
            DesiredMount::File { .. } => {
                let Some(source) = sources.files.get(path) else {
                    return Err(Refused::new(format!("mounts[{index}]"), "its content is not on the server"));
                };
                mounts.push(bind(source, path, true));
            }
            DesiredMount::Tmpfs { size_bytes, .. } => {
                if *size_bytes == 0 || *size_bytes > TMPFS_BYTES_MAX {
                    return Err(Refused::new(format!("mounts[{index}].size_bytes"), format!("not between 1 and {TMPFS_BYTES_MAX}")));
                }
                tmpfs.insert(path.clone(), format!("rw,nosuid,nodev,mode=1777,size={size_bytes}"));
            }
            DesiredMount::Bind { host_path, read_only, .. } => {
                let source = bind_source(index, host_path, sources, host)?;
                mounts.push(bind(source, path, *read_only));
            }
        }
    }
    Ok((mounts, tmpfs))
}

fn bind(source: &Path, target: &str, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source.to_string_lossy().into_owned()),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        bind_options: Some(MountBindOptions { propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE), ..Default::default() }),
        ..Default::default()
    }
}

fn is_normal(path: &Path) -> bool {
    path.is_absolute() && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

fn target(index: usize, path: &str) -> Result<(), Refused> {
    let refused = |reason: String| Err(Refused::new(format!("mounts[{index}].path"), reason));
    let as_path = Path::new(path);
    let plain = path.len() <= 1024 && !path.contains(['\0', ',', '\n', ':']) && !path.contains("//") && !path.contains("/./");
    if !is_normal(as_path) || !plain || as_path.components().count() < 2 {
        return refused(format!("`{path}` is not an absolute path without `..`, `:` and `,`, below `/`"));
    }
    if TARGETS_NEVER.iter().any(|never| as_path.starts_with(never)) {
        return refused(format!("`{path}` belongs to the container's own system"));
    }
    Ok(())
}

fn bind_source<'a>(index: usize, asked: &str, sources: &'a MountSources, host: &HostFacts) -> Result<&'a Path, Refused> {
    let refused = |reason: String| Err(Refused::new(format!("mounts[{index}].host_path"), reason));
    if !is_normal(Path::new(asked)) {
        return refused(format!("`{asked}` is not an absolute path without `..`"));
    }
    if host.bind_allowed.is_empty() {
        return refused("the operator of this instance allows no folder of the server".to_owned());
    }
    let Some(resolved) = sources.binds.get(asked) else {
        return refused(format!("`{asked}` does not exist on the server"));
    };
    let below_never = |never: &&str| resolved == Path::new(never) || (**never != *"/" && resolved.starts_with(never));
    if NEVER.iter().any(below_never) || resolved.extension().is_some_and(|end| end == "sock") {
        return refused(format!("`{asked}` would hand over the server itself"));
    }
    if !host.bind_allowed.iter().any(|allowed| resolved.starts_with(allowed)) {
        return refused(format!("`{asked}` is not below a folder that the operator allows"));
    }
    Ok(resolved)
}

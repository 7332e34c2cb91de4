//! The disk: how full it is, when no build begins any more, and what is cleaned when it gets full.
//!
//! It must never remove anything but the engine's build cache, and of that never what a build uses: images and containers go in
//! [`crate::sweep`], which knows what is intended. The control plane, rollbacks, restarts and what runs are never refused.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use domain::deployment::{Cause, Failure, Step};
use hyper::Method;

use crate::builder::EngineSocket;
use crate::parts::Parts;
use crate::protocol::{SweepMode, SweepReport};

/// The build cache is brought down to its usual size this often, as long as the disk is not full.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);
const PRUNE_TIMEOUT: Duration = Duration::from_secs(300);
/// On a disk without a free byte the engine cannot even note what it forgets, until it has let go of the step that filled it.
const PRUNE_ATTEMPTS: u32 = 6;
const PRUNE_PAUSE: Duration = Duration::from_millis(500);
const GIB: u64 = 1024 * 1024 * 1024;

/// What the operator sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSettings {
    /// Above it no build begins.
    pub used_percent_max: u8,
    /// Above it the build cache is cleaned down to its floor.
    pub clean_percent: u8,
    /// Size of the engine's build cache; `None`: it is left alone.
    pub build_cache_bytes_max: Option<u64>,
    /// What is kept of it even on a full disk.
    pub build_cache_bytes_min: u64,
}

impl Default for DiskSettings {
    fn default() -> Self {
        Self { used_percent_max: 85, clean_percent: 80, build_cache_bytes_max: Some(20 * GIB), build_cache_bytes_min: GIB }
    }
}

/// How full a file system is, as `df` counts: of what anybody but root may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub folder: PathBuf,
    pub used_percent: u8,
}

/// # Errors
/// The folder does not exist or cannot be asked.
pub fn usage(folder: &Path) -> std::io::Result<Usage> {
    let state = rustix::fs::statvfs(folder)?;
    let percent = percent_used(state.f_blocks, state.f_bfree, state.f_bavail);
    Ok(Usage { folder: folder.to_owned(), used_percent: u8::try_from(percent).unwrap_or(100) })
}

/// Blocks that the file system keeps back count neither as used nor as there. Rounded up.
fn percent_used(blocks: u64, free: u64, available: u64) -> u64 {
    let used = blocks.saturating_sub(free);
    used.saturating_mul(100).div_ceil(used.saturating_add(available).max(1))
}

/// The fuller one of Seaway's own disk and the engine's.
async fn fullest(parts: &Parts) -> std::io::Result<Usage> {
    let own = usage(&parts.state_dir)?;
    // The engine may be down or keep its files where we do not see them: then ours is all that is known.
    let facts = parts.facts.get_or_try_init(|| parts.engine.facts()).await.ok();
    let engine = facts.and_then(|facts| usage(&facts.root_dir).ok());
    Ok(engine.filter(|engine| engine.used_percent > own.used_percent).unwrap_or(own))
}

/// A build may begin. A disk that is too full is cleaned first.
///
/// # Errors
/// The disk stays too full; the text says how full, and what to do.
pub async fn admit(parts: &Parts) -> Result<(), Failure> {
    let max = parts.disk.used_percent_max;
    let unknown = |error: std::io::Error| {
        Failure::new(
            Cause::Internal,
            Step::Fetch,
            format!("The disk of the server cannot be looked at: {error}."),
            "The operator has to look at the data folder (`seaway doctor`).",
        )
    };
    if fullest(parts).await.map_err(unknown)?.used_percent < max {
        return Ok(());
    }
    for attempt in 1..=PRUNE_ATTEMPTS {
        if parts.disk.build_cache_bytes_max.is_none() {
            break;
        }
        match prune(parts, parts.disk.build_cache_bytes_min).await {
            Ok(_) => break,
            Err(reason) => tracing::warn!(attempt, "the build cache could not be cleaned: {reason}"),
        }
        tokio::time::sleep(PRUNE_PAUSE).await;
    }
    let found = fullest(parts).await.map_err(unknown)?;
    if found.used_percent < max {
        return Ok(());
    }
    Err(Failure::new(
        Cause::DiskFull,
        Step::Fetch,
        format!(
            "The server's disk is {} % full ({}); from {max} % on no build begins, so that what runs can go on.",
            found.used_percent,
            found.folder.display()
        ),
        "Remove services or volumes that are not needed, or keep fewer releases; the operator can add disk, remove images (`docker image prune`) or raise disk_used_percent_max. Then deploy again. Rollbacks and restarts work meanwhile.",
    ))
}

/// For the health: `Err` when builds are refused.
pub async fn health(parts: &Parts) -> Result<String, String> {
    let found = fullest(parts).await.map_err(|error| error.to_string())?;
    let text = format!("{} % used", found.used_percent);
    if found.used_percent < parts.disk.used_percent_max {
        return Ok(text);
    }
    Err(format!("{text} ({}): no build begins above {} %", found.folder.display(), parts.disk.used_percent_max))
}

/// Part of the sweep: the build cache, which the engine itself keeps for ever.
pub async fn sweep(parts: &Parts, mode: SweepMode, report: &mut SweepReport) {
    let Some(usual) = parts.disk.build_cache_bytes_max else { return };
    let Ok(found) = fullest(parts).await else { return };
    let pressed = found.used_percent >= parts.disk.clean_percent;
    let keep = if pressed { parts.disk.build_cache_bytes_min.min(usual) } else { usual };
    let why = if pressed { format!("the disk is {} % full", found.used_percent) } else { "its usual size".to_owned() };
    if mode == SweepMode::Simulate {
        match cache_bytes(parts).await {
            Ok(size) if size > keep => {
                report.removed.push(format!("build cache: {} bytes beyond {keep} ({why})", size - keep));
                report.bytes_freed += size - keep;
            }
            Ok(_) => {}
            Err(reason) => report.left.push(format!("build cache: {reason}")),
        }
        return;
    }
    {
        let mut pruned = parts.cache_pruned.lock().unwrap_or_else(PoisonError::into_inner);
        if !pressed && pruned.is_some_and(|last| last.elapsed() < PRUNE_INTERVAL) {
            return;
        }
        *pruned = Some(tokio::time::Instant::now());
    }
    match prune(parts, keep).await {
        Ok(0) => {}
        Ok(freed) => {
            report.removed.push(format!("build cache: {freed} bytes beyond {keep} ({why})"));
            report.bytes_freed += freed;
        }
        Err(reason) => report.left.push(format!("build cache: {reason}")),
    }
}

/// Asks the engine to forget the least recently used parts of its build cache until it has this size. What a build or an image
/// uses stays. Answers the bytes freed.
async fn prune(parts: &Parts, keep_bytes: u64) -> Result<u64, String> {
    let engine = EngineSocket::new(parts.workshop.engine_socket.clone());
    // The older name of the parameter and the present one; each engine knows one.
    let target = format!("/build/prune?keep-storage={keep_bytes}&reserved-space={keep_bytes}");
    let answer = tokio::time::timeout(PRUNE_TIMEOUT, engine.ask(Method::POST, &target)).await;
    let answer = answer.map_err(|_elapsed| "the engine took too long".to_owned())?.map_err(|error| error.to_string())?;
    Ok(answer.get("SpaceReclaimed").and_then(serde_json::Value::as_u64).unwrap_or(0))
}

/// Size of what a clean-up could remove at most.
async fn cache_bytes(parts: &Parts) -> Result<u64, String> {
    let engine = EngineSocket::new(parts.workshop.engine_socket.clone());
    let answer = tokio::time::timeout(PRUNE_TIMEOUT, engine.ask(Method::GET, "/system/df?type=build-cache")).await;
    let answer = answer.map_err(|_elapsed| "the engine took too long".to_owned())?.map_err(|error| error.to_string())?;
    let records = answer.get("BuildCache").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    let is_free =
        |record: &serde_json::Value| ["InUse", "Shared"].iter().all(|key| record.get(key) != Some(&serde_json::Value::Bool(true)));
    Ok(records.iter().filter(|record| is_free(record)).filter_map(|record| record.get("Size").and_then(serde_json::Value::as_u64)).sum())
}

/// Whether the engine can limit what a container writes: overlay2 on XFS with project quotas, or a driver with quotas of its own.
pub fn has_quotas(driver: &str, root_dir: &Path) -> bool {
    match driver {
        "btrfs" | "zfs" | "devicemapper" | "windowsfilter" => true,
        "overlay2" => std::fs::read_to_string("/proc/self/mountinfo").is_ok_and(|mounts| has_project_quotas(&mounts, root_dir)),
        _ => false,
    }
}

/// The mount that holds the folder is the one with the longest path that begins it.
fn has_project_quotas(mounts: &str, folder: &Path) -> bool {
    let of_folder = mounts
        .lines()
        .filter_map(|line| {
            let (mount, file_system) = line.split_once(" - ")?;
            let point = Path::new(mount.split(' ').nth(4)?);
            folder.starts_with(point).then(|| (point.components().count(), file_system))
        })
        .max_by_key(|(depth, _)| *depth);
    of_folder.is_some_and(|(_, file_system)| {
        let mut words = file_system.split(' ');
        let (kind, options) = (words.next(), words.nth(1).unwrap_or_default());
        kind == Some("xfs") && options.split(',').any(|option| matches!(option, "prjquota" | "pquota"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_found_on_the_mount_that_holds_the_folder() {
        let mounts =
            "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 8:2 / /var/lib/docker rw,relatime shared:1 - xfs /dev/sdb rw,attr2,prjquota\n";
        assert!(has_project_quotas(mounts, Path::new("/var/lib/docker")));
        assert!(!has_project_quotas(mounts, Path::new("/var/lib/other")));
        assert!(!has_project_quotas(&mounts.replace(",prjquota", ""), Path::new("/var/lib/docker")));
        assert!(!has_project_quotas(&mounts.replace("xfs", "ext4"), Path::new("/var/lib/docker")));
    }

    #[test]
    fn blocks_that_are_kept_back_do_not_make_a_disk_look_full() {
        // A file system of 252 GB of which 162 are kept back: 26 used, 64 there.
        assert_eq!(percent_used(252, 226, 64), 29);
        assert_eq!(percent_used(100, 5, 0), 100);
        assert_eq!(percent_used(100, 100, 95), 0);
        assert_eq!(percent_used(0, 0, 0), 0);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "`df` is what the number is compared with")]
    fn a_disk_is_as_full_as_df_says() {
        let found = usage(Path::new("/")).unwrap();
        let told = std::process::Command::new("df").args(["--output=pcent", "/"]).output().unwrap();
        let told: i32 = String::from_utf8_lossy(&told.stdout).lines().nth(1).unwrap().trim().trim_end_matches('%').parse().unwrap();
        assert!((i32::from(found.used_percent) - told).abs() <= 1, "{found:?}, df says {told}");
        assert!(usage(Path::new("/no/such/folder")).is_err());
    }
}

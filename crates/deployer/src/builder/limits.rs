//! Limits of BuildKit's steps. Engines up to 20.10 have no such option for BuildKit, so the control group of each step is
//! given its limits as soon as it appears. A step is known by the tenant's key in its environment.
//!
//! Holds where the agent sees the engine's control groups (`cgroupfs` driver, version 1 or 2); elsewhere the engine's own
//! limits are all there is, and the build log says so.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::service::BuildLimits;
use tokio::task::JoinHandle;

use super::dockerfile::SCOPE;

const CHECK_INTERVAL: Duration = Duration::from_millis(10);
const PIDS_MAX: u64 = 4096;
const PERIOD_US: u64 = 100_000;
/// Where BuildKit puts the groups of its steps.
const GROUP: &str = "docker/buildkit";

/// Watches while a build runs; ends when dropped.
#[derive(Debug)]
pub struct Enforcement(JoinHandle<()>);

impl Drop for Enforcement {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whether the control groups can be reached from here.
pub fn possible() -> bool {
    Path::new("/sys/fs/cgroup/memory/docker").is_dir()
        || Path::new("/sys/fs/cgroup/memory").is_dir()
        || Path::new("/sys/fs/cgroup/cgroup.controllers").is_file()
}

pub fn enforce(limits: &BuildLimits, scope: &str) -> Enforcement {
    let limits = limits.clone();
    let mark = format!("{SCOPE}={scope}");
    Enforcement(tokio::spawn(async move {
        let mut done: HashSet<PathBuf> = HashSet::new();
        loop {
            for group in groups() {
                if !done.contains(&group) && is_ours(&group, &mark) && apply(&group, &limits) {
                    done.insert(group);
                }
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }))
}

fn version_2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").is_file()
}

/// The steps' groups; for version 1 those of the memory controller.
fn groups() -> Vec<PathBuf> {
    let base = if version_2() { PathBuf::from("/sys/fs/cgroup") } else { PathBuf::from("/sys/fs/cgroup/memory") };
    let entries = std::fs::read_dir(base.join(GROUP));
    entries.into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// A group whose process carries the key. One without any process yet is looked at again.
fn is_ours(group: &Path, mark: &str) -> bool {
    let Ok(processes) = std::fs::read_to_string(group.join("cgroup.procs")) else { return false };
    processes.lines().any(|process| {
        std::fs::read(format!("/proc/{process}/environ"))
            .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()))
    })
}

/// `false` when a limit could not be set yet: more memory is in use than it allows and cannot be given back at once.
fn apply(group: &Path, limits: &BuildLimits) -> bool {
    let memory = limits.memory_bytes.to_string();
    let quota = limits.cpu_millis.saturating_mul(PERIOD_US / 1000).max(1000);
    if version_2() {
        let set = |file: &str, value: String| std::fs::write(group.join(file), value).is_ok();
        let memory_set = set("memory.max", memory);
        let swap_set = set("memory.swap.max", "0".into()) || !group.join("memory.swap.max").exists();
        let rest = [set("cpu.max", format!("{quota} {PERIOD_US}")), set("pids.max", PIDS_MAX.to_string())];
        return memory_set && swap_set && rest.into_iter().all(|done| done);
    }
    let Some(name) = group.file_name() else { return true };
    let set = |controller: &str, file: &str, value: String| {
        std::fs::write(Path::new("/sys/fs/cgroup").join(controller).join(GROUP).join(name).join(file), value).is_ok()
    };
    let memory_set = set("memory", "memory.limit_in_bytes", memory.clone());
    if !memory_set {
        kill_beyond(group, limits.memory_bytes);
    }
    // Without swap accounting the file does not exist.
    let swap_set = set("memory", "memory.memsw.limit_in_bytes", memory) || !group.join("memory.memsw.limit_in_bytes").exists();
    let processor_set = set("cpu", "cpu.cfs_period_us", PERIOD_US.to_string()) && set("cpu", "cpu.cfs_quota_us", quota.to_string());
    memory_set && swap_set && processor_set && set("pids", "pids.max", PIDS_MAX.to_string())
}

/// Version 1 refuses a limit below what is in use already; a step that is beyond it ends as the limit would have ended it.
fn kill_beyond(group: &Path, memory_bytes: u64) {
    let used = std::fs::read_to_string(group.join("memory.usage_in_bytes")).ok().and_then(|text| text.trim().parse::<u64>().ok());
    if used.is_none_or(|used| used <= memory_bytes) {
        return;
    }
    let processes = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for process in processes.lines().filter_map(|line| line.parse().ok()).filter_map(rustix::process::Pid::from_raw) {
        // It may have ended meanwhile.
        let _gone = rustix::process::kill_process(process, rustix::process::Signal::KILL);
    }
}

//! Limits of BuildKit's steps. Engines up to 20.10 have no such option for BuildKit, so the control group of each step is
//! given its limits as soon as it appears. A step is known by the tenant's key in its environment; a step without any key
//! (`env -i`) gets the limits of the builds that run.
//!
//! Holds where the agent sees the engine's control groups, version 1 or 2; elsewhere the engine's own limits are all there
//! is, and the build log says so.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::service::BuildLimits;
use rustix::process::{Pid, Signal, kill_process};

use super::dockerfile::SCOPE;

const CHECK_INTERVAL: Duration = Duration::from_millis(5);
/// A step's first process has the engine's environment until it becomes the step's command.
const UNMARKED_AFTER: Duration = Duration::from_millis(100);
const PIDS_MAX: u64 = 4096;
const PERIOD_US: u64 = 100_000;
const ROOT: &str = "/sys/fs/cgroup";
/// Where BuildKit puts the groups of its steps; with the engine's `systemd` driver they lie beside it, named `….slice:docker:ID`.
const FOLDER: &str = "docker/buildkit";
const SYSTEMD_MARK: &str = ".slice:docker:";

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { builds: Vec::new(), watched: false });
static NEXT: AtomicU64 = AtomicU64::new(0);

struct Registry {
    builds: Vec<Running>,
    watched: bool,
}

#[derive(Debug, Clone)]
struct Running {
    number: u64,
    key: String,
    limits: BuildLimits,
    reached: Arc<AtomicBool>,
}

/// The limits are in force while it lives.
#[derive(Debug)]
pub struct Enforcement {
    number: u64,
    reached: Arc<AtomicBool>,
}

impl Enforcement {
    /// Whether a step of the build was given its limits.
    pub fn reached(&self) -> bool {
        self.reached.load(Ordering::Acquire)
    }
}

impl Drop for Enforcement {
    fn drop(&mut self) {
        registry().builds.retain(|build| build.number != self.number);
    }
}

/// Whether the engine's control groups can be reached from here.
pub fn possible() -> bool {
    folder(version_2()).is_dir()
}

/// Starts to watch for the steps of a build whose environment has `key`.
pub fn enforce(limits: &BuildLimits, key: &str) -> Enforcement {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let reached = Arc::new(AtomicBool::new(false));
    let mut registry = registry();
    registry.builds.push(Running { number, key: key.to_owned(), limits: limits.clone(), reached: Arc::clone(&reached) });
    if !registry.watched {
        registry.watched = true;
        // The watch looks many times a second and may wait for the kernel, so it has a thread; it ends with the last build.
        std::thread::spawn(watch);
    }
    Enforcement { number, reached }
}

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "it runs in a thread of its own")]
fn watch() {
    let version_2 = version_2();
    let mut done: HashSet<PathBuf> = HashSet::new();
    let mut unmarked: HashMap<PathBuf, Instant> = HashMap::new();
    loop {
        let builds = {
            let mut registry = registry();
            registry.watched = !registry.builds.is_empty();
            registry.builds.clone()
        };
        if builds.is_empty() {
            return;
        }
        for group in groups(version_2) {
            if done.contains(&group.folder) {
                continue;
            }
            let build = match group.owner(&builds) {
                Owner::Nobody => continue,
                Owner::Other => {
                    done.insert(group.folder);
                    continue;
                }
                Owner::Build(build) => build,
                Owner::Unmarked => {
                    if unmarked.entry(group.folder.clone()).or_insert_with(Instant::now).elapsed() < UNMARKED_AFTER {
                        continue;
                    }
                    let Some(build) = builds.iter().max_by_key(|build| build.limits.memory_bytes) else { continue };
                    build
                }
            };
            if group.apply(&build.limits) {
                build.reached.store(true, Ordering::Release);
                done.insert(group.folder);
            }
        }
        std::thread::sleep(CHECK_INTERVAL);
    }
}

fn version_2() -> bool {
    Path::new(ROOT).join("cgroup.controllers").is_file()
}

/// The folder of the groups that have a memory limit.
fn folder(version_2: bool) -> PathBuf {
    if version_2 { PathBuf::from(ROOT) } else { Path::new(ROOT).join("memory") }
}

fn groups(version_2: bool) -> Vec<Group> {
    let base = folder(version_2);
    let children = |folder: &Path| {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    let beside = children(&base).into_iter().filter(|path| path.to_string_lossy().contains(SYSTEMD_MARK));
    children(&base.join(FOLDER)).into_iter().chain(beside).map(|folder| Group { folder, version_2 }).collect()
}

/// One step's control group; for version 1 `folder` is that of the memory controller.
struct Group {
    folder: PathBuf,
    version_2: bool,
}

enum Owner<'a> {
    /// No process yet.
    Nobody,
    Unmarked,
    Build(&'a Running),
    /// A key that is not of a build here: another instance's.
    Other,
}

impl Group {
    fn processes(&self) -> Vec<Pid> {
        let text = std::fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).filter_map(Pid::from_raw).collect()
    }

    fn owner<'a>(&self, builds: &'a [Running]) -> Owner<'a> {
        let mut owner = Owner::Nobody;
        for process in self.processes() {
            let Ok(environment) = std::fs::read(format!("/proc/{}/environ", process.as_raw_nonzero())) else { continue };
            match key(&environment) {
                None => owner = Owner::Unmarked,
                Some(key) => {
                    return builds.iter().find(|build| build.key.as_bytes() == key).map_or(Owner::Other, Owner::Build);
                }
            }
        }
        owner
    }

    /// `false` when a limit could not be set yet.
    fn apply(&self, limits: &BuildLimits) -> bool {
        // While it allocates, the kernel refuses a limit below what is in use, and may try for seconds.
        let stopped = self.processes();
        signal(&stopped, Signal::STOP);
        if self.memory_used().is_some_and(|used| used > limits.memory_bytes) {
            signal(&self.processes(), Signal::KILL);
            return true;
        }
        let set = self.set(limits);
        signal(&stopped, Signal::CONT);
        set
    }

    /// Bytes that cannot be given back (no page cache).
    fn memory_used(&self) -> Option<u64> {
        let name = if self.version_2 { "anon " } else { "total_rss " };
        let text = std::fs::read_to_string(self.folder.join("memory.stat")).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)).and_then(|value| value.trim().parse().ok())
    }

    fn set(&self, limits: &BuildLimits) -> bool {
        let memory = limits.memory_bytes.to_string();
        let quota = limits.cpu_millis.saturating_mul(PERIOD_US / 1000).max(1000);
        if self.version_2 {
            let set = |file: &str, value: String| write(&self.folder.join(file), &value);
            return set("memory.max", memory)
                & optional(&self.folder.join("memory.swap.max"), "0")
                & set("cpu.max", format!("{quota} {PERIOD_US}"))
                & set("pids.max", PIDS_MAX.to_string());
        }
        let Ok(inside) = self.folder.strip_prefix(folder(false)) else { return true };
        let file = |controller: &str, file: &str| Path::new(ROOT).join(controller).join(inside).join(file);
        write(&file("memory", "memory.limit_in_bytes"), &memory)
            // Without swap accounting the file does not exist.
            & optional(&file("memory", "memory.memsw.limit_in_bytes"), &memory)
            & write(&file("cpu", "cpu.cfs_period_us"), &PERIOD_US.to_string())
            & write(&file("cpu", "cpu.cfs_quota_us"), &quota.to_string())
            & write(&file("pids", "pids.max"), &PIDS_MAX.to_string())
    }
}

fn key(environment: &[u8]) -> Option<&[u8]> {
    environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(SCOPE.as_bytes())?.strip_prefix(b"="))
}

fn write(file: &Path, value: &str) -> bool {
    std::fs::write(file, value).is_ok()
}

fn optional(file: &Path, value: &str) -> bool {
    write(file, value) || !file.exists()
}

fn signal(processes: &[Pid], signal: Signal) {
    for process in processes {
        // It may have ended meanwhile.
        let _gone = kill_process(*process, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_read_from_an_environment() {
        assert_eq!(key(b"PATH=/bin\0SEAWAY_CACHE_SCOPE=ab12\0HOME=/"), Some(b"ab12".as_slice()));
        assert_eq!(key(b"PATH=/bin\0XSEAWAY_CACHE_SCOPE=ab12\0SEAWAY_CACHE_SCOPES=1"), None);
        assert_eq!(key(b""), None);
    }
}

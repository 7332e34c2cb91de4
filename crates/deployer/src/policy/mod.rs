//! The one way from a desired state to a container spec (rule 4), for every verb: deploy, roll back, scale, one-off, cron.
//!
//! Invariant: [`Approved`] is made here and nowhere else, and the engine creates containers from nothing else. Every key of
//! the spec is set from an allow-list; what is not written below does not exist, whatever the user asked for. A refusal names
//! the field.
//!
//! To allow one more setting: a field in `domain::service::EngineSettings`, its check and its line here, its test below.

mod check;
mod mounts;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use bollard::models::{
    ContainerCreateBody, DeviceRequest, EndpointSettings, HostConfig, HostConfigLogConfig, NetworkingConfig, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};
use domain::deployment::{Cause, Failure, Step};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::engine::labels::{ReplicaLabels, RunLabels};
use crate::protocol::{Desired, DesiredProcess};

pub use check::{CAPABILITIES, arguments as check_arguments};
pub use mounts::{MountSources, volume_name};

/// Processes and threads, at most.
pub const PIDS_MAX: u32 = 32_768;
pub const NOFILE_DEFAULT: i64 = 65_536;
pub const NOFILE_MAX: u64 = 1_048_576;
pub const SHM_BYTES_DEFAULT: i64 = 64 * 1024 * 1024;
pub const SHM_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// Of the memory-backed `/tmp` under a read-only root. It counts against the memory limit.
pub const TMP_BYTES: u64 = 64 * 1024 * 1024;
pub const VARIABLES_BYTES_MAX: usize = 256 * 1024;
pub const ARGUMENTS_MAX: usize = 256;
pub const ARGUMENT_BYTES_MAX: usize = 32 * 1024;
pub use domain::configuration_check::LABELS_MAX;
pub const LABEL_BYTES_MAX: usize = 1024;
pub const MOUNTS_MAX: usize = 32;
pub const TMPFS_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// Rotation of the engine's own copy of the log: Seaway keeps its own, this one bounds the disk.
const LOG_FILE_SIZE: &str = "10m";
const LOG_FILES: &str = "2";
/// An app that writes faster than the disk loses lines instead of standing still.
const LOG_BUFFER: &str = "4m";

/// A spec that passed the policy.
#[derive(Debug, Clone)]
pub struct Approved {
    name: String,
    body: ContainerCreateBody,
    fingerprint: String,
}

impl Approved {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn body(&self) -> &ContainerCreateBody {
        &self.body
    }

    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// Why a spec is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Refused {
    /// `engine.capabilities[0]`, `mounts[1].path`.
    pub field: String,
    pub reason: String,
}

impl Refused {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::new(
            Cause::Configuration,
            Step::Create,
            format!("The setting `{}` is not allowed: {}.", refused.field, refused.reason),
            "Change this setting of the service and deploy again.",
        )
    }
}

/// What the host and its operator allow.
#[derive(Debug, Clone, Default)]
pub struct HostFacts {
    /// Random id of this instance.
    pub instance: String,
    /// The server has the runtime for GPUs.
    pub gpu_runtime: bool,
    pub cpus: u64,
    /// Open files that a container may have at most on this server. The engine cannot raise its own hard limit.
    pub nofile_max: Option<u64>,
    /// Folders below which the operator allows bind mounts. Empty: none.
    pub bind_allowed: Vec<PathBuf>,
    /// What a container may write into its own file system; `None` where the engine's storage cannot limit it.
    pub replica_disk_bytes_max: Option<u64>,
    /// Key of the fingerprints: they stand in labels and must not let anybody test guesses of a variable's value.
    pub fingerprint_key: Vec<u8>,
}

/// What is wanted.
pub struct Wanted<'a> {
    pub desired: &'a Desired,
    pub process: &'a DesiredProcess,
    pub host: &'a HostFacts,
    /// Name of the environment's network.
    pub network: &'a str,
    pub sources: &'a MountSources,
}

/// Which container it will be.
pub enum Role {
    Replica { labels: Box<ReplicaLabels>, name: String },
    OneOff { labels: RunLabels, name: String, command: Vec<String> },
}

/// The spec of one container.
///
/// # Errors
/// [`Refused`] with the field that is not allowed.
pub fn approve(wanted: &Wanted<'_>, role: Role) -> Result<Approved, Refused> {
    let Wanted { desired, process, host, .. } = wanted;
    check::process(process)?;
    check::engine(&desired.engine, host, process)?;
    let mut host_config = host_config(wanted)?;
    let mut body = ContainerCreateBody {
        image: Some(desired.image.clone()),
        cmd: process.command.clone(),
        user: desired.engine.user.clone(),
        env: Some(check::variables(desired)?),
        attach_stdin: Some(false),
        open_stdin: Some(false),
        tty: Some(false),
        ..Default::default()
    };
    if let Role::OneOff { command, .. } = &role {
        check::arguments("command", command)?;
        // The command is run as it was given, not handed to the image's entry point as arguments.
        body.entrypoint = Some(command.clone());
        body.cmd = None;
    }
    let one_off = matches!(role, Role::OneOff { .. });
    let mut endpoint = EndpointSettings::default();
    if !one_off {
        // `web` answers under the service's name; the others only under their own.
        let alias = &desired.alias;
        let own = format!("{}.{alias}", process.name);
        endpoint.aliases = Some(if process.name == domain::service::WEB { vec![alias.clone(), own] } else { vec![own] });
    }
    body.networking_config = Some(NetworkingConfig { endpoints_config: Some(HashMap::from([(wanted.network.to_owned(), endpoint)])) });
    host_config.network_mode = Some(wanted.network.to_owned());
    body.host_config = Some(host_config);

    let fingerprint = fingerprint(&body, &host.fingerprint_key);
    let mut labels: HashMap<String, String> = desired.engine.labels.clone().into_iter().collect();
    let name = match role {
        Role::Replica { labels: mut own, name } => {
            own.fingerprint.clone_from(&fingerprint);
            body.hostname = Some(own.name().replace('.', "-"));
            push_variable(&mut body, "SEAWAY_REPLICA", &own.name());
            labels.extend(own.write(&host.instance));
            name
        }
        Role::OneOff { labels: own, name, .. } => {
            labels.extend(own.write(&host.instance));
            name
        }
    };
    body.labels = Some(labels);
    Ok(Approved { name, body, fingerprint })
}

fn push_variable(body: &mut ContainerCreateBody, name: &str, value: &str) {
    if let Some(variables) = body.env.as_mut() {
        variables.push(format!("{name}={value}"));
    }
}

fn host_config(wanted: &Wanted<'_>) -> Result<HostConfig, Refused> {
    let Wanted { desired, process, host, sources, .. } = wanted;
    let engine = &desired.engine;
    let memory = signed(process.limits.memory_bytes);
    // The engine refuses more cores than the server has; a limit above that limits nothing.
    let cpu_millis = process.limits.cpu_millis.min(host.cpus.max(1) * 1000);
    let nofile = engine.nofile.map_or(NOFILE_DEFAULT, signed).min(host.nofile_max.map_or(i64::MAX, signed));
    let (mounts, mut tmpfs) = mounts::approve(&desired.mounts, sources, host)?;
    if desired.read_only_root {
        tmpfs
            .entry("/tmp".to_owned())
            .or_insert_with(|| format!("rw,nosuid,nodev,mode=1777,size={}", TMP_BYTES.min(process.limits.memory_bytes)));
    }
    Ok(HostConfig {
        privileged: Some(false),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(check::capabilities(&engine.capabilities)?),
        pids_limit: Some(i64::from(process.limits.pids)),
        memory: Some(memory),
        memory_swap: Some(memory),
        memory_reservation: engine.memory_reservation_bytes.map(signed),
        nano_cpus: Some(signed(cpu_millis).saturating_mul(1_000_000)),
        ulimits: Some(vec![
            ResourcesUlimits { name: Some("nofile".to_owned()), soft: Some(nofile), hard: Some(nofile) },
            ResourcesUlimits { name: Some("core".to_owned()), soft: Some(0), hard: Some(0) },
        ]),
        shm_size: Some(engine.shm_size_bytes.map_or(SHM_BYTES_DEFAULT, signed)),
        readonly_rootfs: Some(desired.read_only_root),
        storage_opt: host.replica_disk_bytes_max.map(|bytes| HashMap::from([("size".to_owned(), bytes.to_string())])),
        tmpfs: (!tmpfs.is_empty()).then(|| tmpfs.into_iter().collect()),
        mounts: Some(mounts),
        // A real init hands signals on and reaps, also when the image starts a shell.
        init: Some(true),
        ipc_mode: Some("private".to_owned()),
        publish_all_ports: Some(false),
        oom_score_adj: Some(500),
        log_config: Some(HostConfigLogConfig {
            typ: Some("local".to_owned()),
            config: Some(HashMap::from([
                ("mode".to_owned(), "non-blocking".to_owned()),
                ("max-buffer-size".to_owned(), LOG_BUFFER.to_owned()),
                ("max-size".to_owned(), LOG_FILE_SIZE.to_owned()),
                ("max-file".to_owned(), LOG_FILES.to_owned()),
                ("compress".to_owned(), "false".to_owned()),
            ])),
        }),
        // A container that is not healthy yet must not be restarted behind the health gate; the rollout turns it on.
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        device_requests: engine.gpus.map(|count| {
            vec![DeviceRequest {
                driver: Some("nvidia".to_owned()),
                count: Some(i64::from(count)),
                capabilities: Some(vec![vec!["gpu".to_owned()]]),
                ..Default::default()
            }]
        }),
        ..Default::default()
    })
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Two specs with the same fingerprint need no restart between them.
fn fingerprint(body: &ContainerCreateBody, key: &[u8]) -> String {
    let mut text = String::new();
    canonical(&serde_json::to_value(body).unwrap_or_default(), &mut text);
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// JSON with sorted keys: the spec holds hash maps, whose order differs from run to run.
fn canonical(value: &serde_json::Value, into: &mut String) {
    match value {
        serde_json::Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            into.push('{');
            for (key, value) in sorted {
                into.push_str(&serde_json::Value::String(key.clone()).to_string());
                into.push(':');
                canonical(value, into);
                into.push(',');
            }
            into.push('}');
        }
        serde_json::Value::Array(items) => {
            into.push('[');
            for item in items {
                canonical(item, into);
                into.push(',');
            }
            into.push(']');
        }
        plain => into.push_str(&plain.to_string()),
    }
}

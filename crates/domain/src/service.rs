//! What a service is made of: source, builder, processes, health check, limits, mounts. The same types are stored, frozen in
//! a release, sent through the API and handed to the server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::{CredentialId, UploadId, VolumeId};

/// The process type that receives requests.
pub const WEB: &str = "web";
/// Port of `web` when neither the service nor its image says one.
pub const PORT_DEFAULT: u16 = 3000;
pub const REPLICAS_MAX: u32 = 50;
pub const PROCESSES_MAX: usize = 16;
pub const MEMORY_BYTES_MIN: u64 = 16 * 1024 * 1024;
pub const STOP_GRACE_SECONDS_MAX: u32 = 300;
pub const DRAIN_SECONDS_MAX: u32 = 300;
pub const HEALTH_DEADLINE_SECONDS_MAX: u32 = 900;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKind {
    App,
    Database,
    Stack,
}

/// Where an app's code comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// Any Git URL over https or ssh.
    Git {
        /// `https://host/path`, `ssh://user@host:port/path` or `user@host:path`; never with a password in it.
        url: String,
        /// Branch, tag or full commit id; the repository's default branch when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        /// Access token or deploy key for a private repository.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credential: Option<CredentialId>,
        #[serde(default)]
        submodules: bool,
        #[serde(default)]
        lfs: bool,
    },
    /// An uploaded zip or tar archive.
    Archive {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upload: Option<UploadId>,
    },
    /// A finished image from a registry or from the server itself.
    Image {
        /// `name:tag` or `name@sha256:…`.
        reference: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credential: Option<CredentialId>,
    },
}

/// What turns a source revision into an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Builder {
    Dockerfile {
        /// Path of the Dockerfile inside the source.
        #[serde(default = "default_dockerfile")]
        path: String,
        /// Folder inside the source that is sent to the build.
        #[serde(default = "default_folder")]
        context: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<String>,
        /// `--build-arg` values; visible in the image's history, so never secrets.
        #[serde(default)]
        arguments: BTreeMap<String, String>,
        /// Names of variables that are mounted as build secrets (`RUN --mount=type=secret,id=NAME`).
        #[serde(default)]
        secrets: Vec<String>,
    },
    /// A folder of files served by Seaway's own small web server.
    Static {
        #[serde(default = "default_folder")]
        folder: String,
        /// Unknown paths answer `index.html`.
        #[serde(default)]
        single_page: bool,
    },
    /// The source is an image already.
    None,
}

fn default_dockerfile() -> String {
    "Dockerfile".into()
}

fn default_folder() -> String {
    ".".into()
}

impl Default for Builder {
    fn default() -> Self {
        Self::Dockerfile {
            path: default_dockerfile(),
            context: default_folder(),
            target: None,
            arguments: BTreeMap::new(),
            secrets: Vec::new(),
        }
    }
}

/// One process type of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// `web`, `worker`, …: lower-case letters, digits and `-`.
    pub name: String,
    /// Argument list that replaces the image's command; the image's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    pub replicas: u32,
    #[serde(default)]
    pub limits: Limits,
}

/// Limits of one replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub memory_bytes: u64,
    /// Thousandths of a CPU core.
    pub cpu_millis: u64,
    /// Processes and threads.
    pub pids: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 512 * 1024 * 1024, cpu_millis: 1000, pids: 512 }
    }
}

/// How a replica proves that it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Probe {
    /// `GET path` answers 2xx or 3xx.
    Http { path: String },
    /// The port accepts a connection.
    Tcp,
    /// A command inside the replica, as an argument list, exits with 0.
    Command { argv: Vec<String> },
    /// No probe: the port is open (web) and the process stays up for [`HealthCheck::stay_up_seconds`].
    StayUp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    pub probe: Probe,
    /// Pause between two probes.
    pub interval_ms: u32,
    /// Limit of one probe.
    pub timeout_ms: u32,
    /// Probes in a row that must pass.
    pub successes: u32,
    /// The deployment fails when a replica is not healthy by then.
    pub deadline_seconds: u32,
    /// Only for [`Probe::StayUp`].
    pub stay_up_seconds: u32,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { probe: Probe::StayUp, interval_ms: 250, timeout_ms: 5_000, successes: 1, deadline_seconds: 120, stay_up_seconds: 3 }
    }
}

/// Something that is put into the file system of every replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Mount {
    /// A named volume: data that outlives releases. A service with one never has two writers.
    Volume {
        volume: VolumeId,
        path: String,
        #[serde(default)]
        read_only: bool,
    },
    /// A text file whose content is versioned with the release and stored sealed.
    File { path: String, file: String },
    /// Memory that is gone when the replica stops.
    Tmpfs { path: String, size_bytes: u64 },
    /// A folder of the server; only where the instance's operator allows it.
    Bind {
        host_path: String,
        path: String,
        #[serde(default)]
        read_only: bool,
    },
}

/// What is changed by hand and frozen in a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Configuration {
    pub source: Option<Source>,
    /// Folder of a monorepo that is treated as the root of the source.
    pub root: Option<String>,
    pub builder: Builder,
    pub processes: Vec<Process>,
    /// Port of `web`, also its variable `PORT`. When absent: the only port that the image declares (`EXPOSE`), else 3000.
    pub port: Option<u16>,
    pub health: HealthCheck,
    pub mounts: Vec<Mount>,
    /// Runs once in the new image, with the new variables, before any traffic; as an argument list.
    pub release_command: Option<Vec<String>>,
    /// Runs once after the switch; its failure is reported and leaves the release serving.
    pub post_deploy_command: Option<Vec<String>>,
    /// Runs once ever, after the first deployment.
    pub first_deploy_command: Option<Vec<String>>,
    /// SIGTERM, this long, then SIGKILL. 0 is a value.
    pub stop_grace_seconds: u32,
    /// How long requests in flight, WebSockets and streams of the old release may go on after the switch.
    pub drain_seconds: u32,
    pub read_only_root: bool,
    /// Additional engine settings from the allow-list.
    pub engine: EngineSettings,
    /// Releases kept for a rollback.
    pub releases_kept: u32,
    pub request_body_bytes_max: u64,
    pub request_timeout_seconds: u32,
    /// Use the build cache.
    pub build_cache: bool,
    pub build_limits: BuildLimits,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            source: None,
            root: None,
            builder: Builder::default(),
            processes: vec![Process { name: WEB.into(), command: None, replicas: 1, limits: Limits::default() }],
            port: None,
            health: HealthCheck::default(),
            mounts: Vec::new(),
            release_command: None,
            post_deploy_command: None,
            first_deploy_command: None,
            stop_grace_seconds: 30,
            drain_seconds: 30,
            read_only_root: false,
            engine: EngineSettings::default(),
            releases_kept: 10,
            request_body_bytes_max: 100 * 1024 * 1024,
            request_timeout_seconds: 300,
            build_cache: true,
            build_limits: BuildLimits::default(),
        }
    }
}

impl Configuration {
    /// A volume that is written forbids two replicas and start-first.
    pub fn single_writer(&self) -> bool {
        self.mounts.iter().any(|mount| matches!(mount, Mount::Volume { read_only: false, .. }))
    }

    /// The port of a release: the configured one, else the only one that its image declares, else [`PORT_DEFAULT`].
    pub fn port_of(&self, exposed: &[u16]) -> u16 {
        match (self.port, exposed) {
            (Some(port), _) => port,
            (None, [only]) => *only,
            (None, _) => PORT_DEFAULT,
        }
    }

    pub fn web(&self) -> Option<&Process> {
        self.processes.iter().find(|process| process.name == WEB)
    }
}

/// The engine settings that Seaway lets a user choose; anything else does not exist (rule 4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSettings {
    /// `name -> value`, plain labels on the containers; the prefix `seaway.` is refused.
    pub labels: BTreeMap<String, String>,
    /// Open files.
    pub nofile: Option<u64>,
    pub shm_size_bytes: Option<u64>,
    /// From the short list: NET_BIND_SERVICE, CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID, KILL.
    pub capabilities: Vec<String>,
    /// `uid`, `uid:gid` or a name of the image.
    pub user: Option<String>,
    /// Number of GPUs to reserve; only on servers with the runtime.
    pub gpus: Option<u32>,
    /// Reserved memory.
    pub memory_reservation_bytes: Option<u64>,
    /// Restarts within ten minutes after which a replica is left stopped and the service is `crashed`.
    pub restarts_max: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BuildLimits {
    pub memory_bytes: u64,
    pub cpu_millis: u64,
    pub timeout_seconds: u32,
    pub source_bytes_max: u64,
    pub source_files_max: u64,
}

impl Default for BuildLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 2 * 1024 * 1024 * 1024,
            cpu_millis: 2000,
            timeout_seconds: 1800,
            source_bytes_max: 1024 * 1024 * 1024,
            source_files_max: 100_000,
        }
    }
}

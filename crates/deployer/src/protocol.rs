//! The seam between the control plane and a server: a small set of typed messages. On one machine a message is a function
//! call on [`Server`]; later it is a frame on a connection that the agent dials outward.
//!
//! Invariant: nothing here names a tenant, a person or a vendor's type. Every order carries the id of its operation and is
//! safe to repeat: a repeat answers with the first result or goes on where the first was interrupted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::deployment::{Failure, Step};
use domain::id::{DeploymentId, EnvironmentId, ReleaseId, RunId, ServiceId, VolumeId};
use domain::service::{BuildLimits, EngineSettings, HealthCheck, Limits};
use domain::{Secret, service};
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// The server side as the control plane sees it.
#[async_trait]
pub trait Server: Send + Sync {
    /// Fetches one source revision and builds its image. A cancelled token really stops the build.
    ///
    /// # Errors
    /// A [`Failure`] with its cause class, the last log lines and the next step.
    async fn build(&self, order: BuildOrder, journal: &dyn Journal, cancel: CancellationToken) -> Result<Built, Failure>;

    /// Makes a release the desired state: create, start, wait for health, switch, drain, stop the old one.
    /// On failure the previous release serves on and the new replicas are gone.
    async fn apply(&self, order: ApplyOrder, journal: &dyn Journal, cancel: CancellationToken) -> Result<Applied, Failure>;

    /// Runs a command once in a fresh container (release command, one-off command, post-deploy command) and waits for its end.
    async fn run(&self, order: RunOrder, cancel: CancellationToken) -> Result<RunEnd, Failure>;

    /// Stops every replica of a service; its routes answer "stopped". Containers stay until started again or removed.
    async fn stop(&self, service: ServiceId, fence: u64) -> Result<(), Failure>;

    /// Removes what [`Removal`] names and reports what could not be removed. Only objects with Seaway's labels of this id.
    async fn remove(&self, removal: Removal) -> Result<RemovalReport, Failure>;

    /// What really runs for a service.
    async fn replicas(&self, service: ServiceId) -> Result<Vec<ReplicaStatus>, Failure>;

    /// Compares what exists with what the control plane intends, repairs both ways, removes orphans that carry Seaway's labels.
    async fn sweep(&self, intended: Intended, mode: SweepMode) -> Result<SweepReport, Failure>;

    /// Lines of a stream from a position on, oldest first.
    async fn read_logs(&self, query: LogQuery) -> Result<LogPage, Failure>;

    /// Lines from a position on and then new ones as they come; ends when the stream is closed.
    async fn follow_logs(&self, query: LogQuery) -> Result<BoxStream<'static, LogEvent>, Failure>;

    /// Adds a line of the control plane to a stream.
    async fn append_log(&self, stream: LogStream, line: String) -> Result<(), Failure>;

    /// Closes a deployment's or run's stream: followers see its end.
    async fn close_log(&self, stream: LogStream, status: String) -> Result<(), Failure>;

    /// Deletes log lines older than the time, of one stream or of all when `None`. Answers the bytes freed.
    async fn purge_logs(&self, stream: Option<LogStream>, before: DateTime<Utc>) -> Result<u64, Failure>;

    /// Opens a command inside a replica of the service; the replica is resolved by the server from the service.
    async fn exec(&self, order: ExecOrder) -> Result<ExecSession, Failure>;

    /// The parts of the server and whether each works: engine, ingress, firewall, disk, log collector.
    async fn health(&self) -> ServerHealth;
}

/// Durable record of the steps. `before` is called when the intent must be on disk, `after` when the effect has happened.
#[async_trait]
pub trait Journal: Send + Sync {
    async fn before(&self, step: Step) -> Result<(), Failure>;
    async fn after(&self, step: Step, note: Option<String>) -> Result<(), Failure>;
}

/// A journal that keeps nothing; for one-off work.
pub struct NoJournal;

#[async_trait]
impl Journal for NoJournal {
    async fn before(&self, _step: Step) -> Result<(), Failure> {
        Ok(())
    }
    async fn after(&self, _step: Step, _note: Option<String>) -> Result<(), Failure> {
        Ok(())
    }
}

pub struct BuildOrder {
    pub operation: DeploymentId,
    pub service: ServiceId,
    /// Opaque key of the tenant: build caches and networks are never shared across it.
    pub tenant: String,
    pub source: FetchSource,
    /// Folder inside the source that is treated as its root.
    pub root: Option<String>,
    pub builder: service::Builder,
    /// Values of the build secrets that the builder names.
    pub secrets: BTreeMap<String, Secret<String>>,
    /// For the images that a Dockerfile names: host of the registry, credential.
    pub registries: Vec<(String, RegistryCredential)>,
    pub limits: BuildLimits,
    pub cache: bool,
    /// Every value that must not appear in the log.
    pub masks: Vec<Secret<String>>,
}

pub enum FetchSource {
    Git {
        url: String,
        /// Branch, tag or commit id; the default branch when `None`.
        reference: Option<String>,
        /// The exact commit of the event; wins over `reference`.
        commit: Option<String>,
        credential: Option<GitCredential>,
        submodules: bool,
        lfs: bool,
    },
    /// An archive on the server's disk (zip, tar, tar.gz), with its SHA-256.
    Archive {
        path: PathBuf,
        digest: String,
    },
    Image {
        reference: String,
        credential: Option<RegistryCredential>,
    },
}

pub enum GitCredential {
    /// For https.
    Token { username: String, token: Secret<String> },
    /// For ssh: private key in OpenSSH form and the lines of `known_hosts` that are trusted.
    DeployKey { private_key: Secret<String>, known_hosts: String },
}

pub struct RegistryCredential {
    pub username: String,
    pub password: Secret<String>,
}

/// What a build made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Built {
    /// `sha256:…` id of the image in the engine.
    pub image: String,
    pub size_bytes: u64,
    /// Full commit id, digest of the archive, or digest of the pulled image.
    pub revision: String,
    pub commit_subject: Option<String>,
    pub commit_author: Option<String>,
    /// Ports that the image declares.
    pub exposed_ports: Vec<u16>,
    pub builder: String,
}

pub struct ApplyOrder {
    pub operation: DeploymentId,
    /// Rises with every accepted order of a service; the server refuses an order with a lower one.
    pub fence: u64,
    pub desired: Desired,
    /// A different order of the same release replaces all replicas (restart).
    pub replace: bool,
}

/// The desired state of one service.
#[derive(Clone)]
pub struct Desired {
    pub service: ServiceId,
    /// The environment: its network is shared by its services and by nobody else.
    pub environment: EnvironmentId,
    /// Name inside the environment; other services reach it under this name.
    pub alias: String,
    pub release: ReleaseId,
    pub version: u64,
    pub image: String,
    pub processes: Vec<DesiredProcess>,
    pub variables: BTreeMap<String, Secret<String>>,
    pub port: u16,
    pub health: HealthCheck,
    pub mounts: Vec<DesiredMount>,
    pub stop_grace_seconds: u32,
    pub drain_seconds: u32,
    pub read_only_root: bool,
    pub engine: EngineSettings,
    /// Host names served by `web`, lower case, IDNA applied.
    pub hosts: Vec<String>,
    pub request_body_bytes_max: u64,
    pub request_timeout_seconds: u32,
    /// Values that must not appear in the runtime log.
    pub masks: Vec<Secret<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DesiredProcess {
    pub name: String,
    pub command: Option<Vec<String>>,
    pub replicas: u32,
    pub limits: Limits,
}

#[derive(Clone)]
pub enum DesiredMount {
    Volume { volume: VolumeId, path: String, read_only: bool },
    File { path: String, content: Secret<String> },
    Tmpfs { path: String, size_bytes: u64 },
    Bind { host_path: String, path: String, read_only: bool },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Applied {
    pub replicas: Vec<ReplicaStatus>,
    /// Requests of the old release that were cut when the drain ended.
    pub requests_cut: u64,
    /// How long requests were held during a single-writer hand-over.
    pub gap_ms: Option<u64>,
    /// From the order to the healthy answer through the ingress.
    pub healthy_after_ms: u64,
}

pub struct RunOrder {
    pub run: RunId,
    pub stream: LogStream,
    pub desired: Desired,
    pub command: Vec<String>,
    pub timeout_seconds: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunEnd {
    pub exit_code: i64,
    pub out_of_memory: bool,
    pub timed_out: bool,
}

pub enum Removal {
    /// Everything of a service; volumes only when named.
    Service {
        service: ServiceId,
        volumes: Vec<VolumeId>,
    },
    /// The network of an environment, once no service is left in it.
    Environment {
        environment: EnvironmentId,
    },
    Volume {
        volume: VolumeId,
    },
    /// Images of releases that no rollback can reach any more.
    Images {
        service: ServiceId,
        images: Vec<String>,
    },
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RemovalReport {
    pub removed: Vec<String>,
    /// What is still there and why.
    pub left: Vec<String>,
    pub bytes_freed: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplicaStatus {
    pub id: String,
    pub process: String,
    /// `web.1`, `worker.2`.
    pub name: String,
    pub release: u64,
    pub state: ReplicaState,
    pub address: Option<SocketAddr>,
    pub started_at: Option<DateTime<Utc>>,
    pub restarts: u64,
    pub exit_code: Option<i64>,
    pub out_of_memory: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    Created,
    Starting,
    Running,
    Unhealthy,
    Restarting,
    /// Left stopped after too many restarts.
    Crashed,
    Stopped,
}

/// What the control plane knows; everything else with Seaway's labels is an orphan.
#[derive(Debug, Clone, Default)]
pub struct Intended {
    pub services: BTreeMap<ServiceId, IntendedService>,
    pub environments: Vec<EnvironmentId>,
    pub volumes: Vec<VolumeId>,
    /// Deployments that are under way: their containers and images are left alone.
    pub deployments: Vec<DeploymentId>,
}

#[derive(Debug, Clone)]
pub struct IntendedService {
    pub release: Option<ReleaseId>,
    pub images_kept: Vec<String>,
    pub stopped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepMode {
    /// Only say what would be done.
    Simulate,
    Act,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SweepReport {
    pub removed: Vec<String>,
    pub repaired: Vec<String>,
    /// Services whose desired release has no running replica and that need a new apply.
    pub missing: Vec<ServiceId>,
    /// What is not intended and still there, with the reason: networks and volumes go only when a removal names them.
    #[serde(default)]
    pub left: Vec<String>,
    pub bytes_freed: u64,
    /// Services that were given up after too many restarts, for as long as they are.
    #[serde(default)]
    pub crashed: Vec<CrashedService>,
}

/// A service of which replicas crashed so often that they are left stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashedService {
    pub service: ServiceId,
    pub release: ReleaseId,
    /// `web.1`, in order.
    pub replicas: Vec<String>,
    pub exit_code: Option<i64>,
    pub out_of_memory: bool,
    /// More restarts than this were too many.
    pub restarts_max: u32,
    /// When the first of them was given up. The same for as long as the episode lasts.
    pub since: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogStream {
    Deployment(DeploymentId),
    Service(ServiceId),
    Run(RunId),
}

/// A line as it is stored. `offset` is the position in the stream: it only grows and is the resume cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub offset: u64,
    pub at: DateTime<Utc>,
    pub channel: LogChannel,
    /// `web.1` for runtime lines, the step's name for build lines.
    pub origin: String,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogChannel {
    /// A line of Seaway itself.
    Platform,
    Stdout,
    Stderr,
}

#[derive(Debug, Clone)]
pub enum LogEvent {
    Line(LogLine),
    /// Lines that were dropped because a limit was reached, before the given offset.
    Gap {
        offset: u64,
        dropped: u64,
    },
    End {
        status: String,
    },
}

#[derive(Debug, Clone)]
pub struct LogQuery {
    pub stream: LogStream,
    /// Lines after this offset; from the beginning when `None` and `tail` is `None`.
    pub after: Option<u64>,
    /// The last n lines.
    pub tail: Option<u32>,
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    /// Only lines that contain this text (no pattern).
    pub contains: Option<String>,
    pub limit: u32,
}

impl LogQuery {
    pub fn whole(stream: LogStream) -> Self {
        Self { stream, after: None, tail: None, since: None, until: None, contains: None, limit: 1000 }
    }
}

#[derive(Debug, Clone)]
pub struct LogPage {
    pub events: Vec<LogEvent>,
    /// Offset to go on from.
    pub next: Option<u64>,
    /// The stream is closed and nothing more will come.
    pub ended: bool,
}

pub struct ExecOrder {
    pub service: ServiceId,
    /// `web.1`; the first running replica of `web` when `None`.
    pub replica: Option<String>,
    pub command: Vec<String>,
    pub terminal: Option<TerminalSize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    pub columns: u16,
    pub rows: u16,
}

pub struct ExecSession {
    pub output: BoxStream<'static, Result<Bytes, Failure>>,
    pub input: tokio::sync::mpsc::Sender<ExecInput>,
    /// Resolves to the exit code when the command ends; dropping the session kills the command.
    pub exit: tokio::sync::oneshot::Receiver<i64>,
}

pub enum ExecInput {
    Bytes(Bytes),
    Resize(TerminalSize),
    Close,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerHealth {
    pub parts: Vec<PartHealth>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartHealth {
    pub name: String,
    pub ok: bool,
    pub detail: String,
}

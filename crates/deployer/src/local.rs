//! The server side on this machine: [`Server`] as a function call.
//!
//! Background tasks: one that reconciles, one that keeps old log lines away, one collector per container. All are tracked and
//! end in [`LocalServer::shutdown`]; containers run on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::deployment::{Failure, Step};
use domain::id::ServiceId;
use domain::{Clock, Entropy};
use futures_util::stream::BoxStream;
use ingress::IngressClient;
use ipnet::{IpNet, Ipv4Net};
use tokio_util::sync::CancellationToken;

use crate::builder::{BuilderChoice, Workshop, WorkshopSettings};
use crate::disk::{self, DiskSettings};
use crate::egress::EgressPolicy;
use crate::engine::Engine;
use crate::engine::failure::failure as engine_failure;
use crate::logs::{LogLimits, LogStore, NewLine, failure as log_failure};
use crate::network::Networks;
use crate::network::firewall::{Firewall, FirewallMode};
use crate::network::rules::RuleSettings;
use crate::output::LineSink;
use crate::parts::{Parts, fingerprint_key};
use crate::process::{Runner, SecretDir};
use crate::protocol::{
    Applied, ApplyOrder, BuildOrder, Built, ExecOrder, ExecSession, Intended, Journal, LogChannel, LogEvent, LogPage, LogQuery, LogStream,
    PartHealth, Removal, RemovalReport, ReplicaStatus, RunEnd, RunOrder, Server, ServerHealth, SweepMode, SweepReport,
};
use crate::state::States;
use crate::{exec, reconcile, removal, replicas, rollout, run, sweep};

/// Runtime lines older than this go, whatever the control plane's retention says.
const LOG_AGE_MAX: TimeDelta = TimeDelta::days(30);
const LOG_PURGE_INTERVAL: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone)]
pub struct LocalServerConfig {
    /// Folder of everything that the server keeps. The engine mounts files out of it, so it must have the same path for both.
    pub state_dir: PathBuf,
    /// The engine's socket.
    pub docker_socket: PathBuf,
    /// Random id of this instance.
    pub instance: String,
    /// Admin socket of the ingress.
    pub ingress_socket: PathBuf,
    /// Where the ingress listens for browsers.
    pub ingress_listen: SocketAddr,
    pub firewall: FirewallMode,
    /// Ports of Seaway itself: closed to builds.
    pub own_ports: Vec<u16>,
    /// Networks that no workload may reach.
    pub ranges_denied: Vec<IpNet>,
    /// Machines that no workload may reach, by name or address: the control plane's database.
    pub hosts_denied: Vec<String>,
    /// Range of the environments' networks.
    pub address_range: Ipv4Net,
    /// Folders below which services may mount parts of the server.
    pub bind_allowed: Vec<PathBuf>,
    /// Where sources and images may come from.
    pub egress: EgressPolicy,
    /// Folder for credentials while they are used; on a memory-backed file system.
    pub secret_dir: PathBuf,
    /// The program that serves static sites; beside the running program when `None`.
    pub fileserver: Option<PathBuf>,
    /// Dockerfile frontends that are allowed, pinned by digest.
    pub frontends: Vec<String>,
    /// `ADD` of an address in a Dockerfile: the engine fetches it itself, past the egress check.
    pub add_from_network: bool,
    pub builder: BuilderChoice,
    pub disk: DiskSettings,
    /// What a replica may write into its own file system, where the engine's storage can limit it.
    pub replica_disk_bytes_max: Option<u64>,
}

pub struct LocalServer {
    pub(crate) parts: Arc<Parts>,
}

impl LocalServer {
    /// Opens the state and starts the background tasks. The engine need not be up yet.
    ///
    /// # Errors
    /// The state folder cannot be used.
    pub fn new(config: LocalServerConfig, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> std::io::Result<Self> {
        std::fs::create_dir_all(&config.state_dir)?;
        let (states, damaged) = States::open(config.state_dir.join("services"))?;
        for reason in damaged {
            tracing::error!("the record of a service is damaged and was put aside; deploy it again: {reason}");
        }
        let workshop = WorkshopSettings {
            instance: config.instance.clone(),
            work_dir: config.state_dir.join("work"),
            secret_dir: config.secret_dir,
            engine_socket: config.docker_socket.clone(),
            egress: config.egress,
            fileserver: config.fileserver,
            frontends: config.frontends,
            add_from_network: config.add_from_network,
            builder: config.builder,
        };
        // What a killed agent left of its builds: sources and credentials.
        for folder in [&workshop.work_dir, &workshop.secret_dir] {
            std::fs::create_dir_all(folder)?;
            SecretDir::sweep(folder)?;
        }
        let engine = Arc::new(Engine::new(config.docker_socket, config.instance));
        let runner = Runner::new();
        let settings = RuleSettings { own_ports: config.own_ports, ranges_denied: config.ranges_denied, hosts_denied: config.hosts_denied };
        let logs = LogStore::open(config.state_dir.join("logs"), Arc::clone(&clock), LogLimits::default())?;
        let parts = Arc::new(Parts {
            fingerprint_key: fingerprint_key(&config.state_dir, entropy.as_ref())?,
            clock,
            entropy,
            state_dir: config.state_dir,
            networks: Networks::new(Arc::clone(&engine), config.address_range),
            firewall: Firewall::new(config.firewall, engine.instance(), settings, runner.clone()),
            engine,
            ingress: IngressClient::new(config.ingress_socket),
            ingress_listen: config.ingress_listen,
            states,
            logs: Arc::new(logs),
            runner,
            bind_allowed: config.bind_allowed,
            disk: config.disk,
            cache_pruned: Default::default(),
            replica_disk_bytes_max: config.replica_disk_bytes_max,
            workshop,
            locks: Default::default(),
            routed: Default::default(),
            followed: Default::default(),
            runs: Default::default(),
            facts: Default::default(),
            tasks: Default::default(),
            stop: CancellationToken::new(),
        });
        parts.tasks.spawn(reconcile::run(Arc::clone(&parts)));
        parts.tasks.spawn(keep_logs_young(Arc::clone(&parts)));
        Ok(Self { parts })
    }

    /// Ends the background tasks. Containers, routes and state stay; the firewall's rules as well, unless nothing of this
    /// instance is left that they are for.
    pub async fn shutdown(&self) {
        self.parts.stop.cancel();
        self.parts.tasks.close();
        self.parts.tasks.wait().await;
        let nothing_left = match (self.parts.engine.list(&[]).await, self.parts.engine.list_networks(true).await) {
            (Ok(containers), Ok(networks)) => containers.is_empty() && networks.is_empty(),
            _ => false,
        };
        if nothing_left && let Err(reason) = self.parts.firewall.remove().await {
            tracing::warn!("the firewall rules of this instance could not be removed: {reason}");
        }
    }
}

async fn keep_logs_young(parts: Arc<Parts>) {
    loop {
        tokio::select! {
            () = parts.stop.cancelled() => return,
            () = tokio::time::sleep(LOG_PURGE_INTERVAL) => {}
        }
        let (logs, before) = (Arc::clone(&parts.logs), parts.clock.now() - LOG_AGE_MAX);
        let purged = tokio::task::spawn_blocking(move || logs.purge(None, before)).await;
        if let Ok(Err(error)) = purged {
            tracing::warn!("old log lines could not be removed: {error}");
        }
    }
}

#[async_trait]
impl Server for LocalServer {
    async fn build(&self, order: BuildOrder, journal: &dyn Journal, cancel: CancellationToken) -> Result<Built, Failure> {
        Box::pin(build(&self.parts, order, journal, cancel)).await
    }

    async fn apply(&self, order: ApplyOrder, journal: &dyn Journal, cancel: CancellationToken) -> Result<Applied, Failure> {
        Box::pin(rollout::apply::apply(&self.parts, order, journal, cancel)).await
    }

    async fn run(&self, order: RunOrder, cancel: CancellationToken) -> Result<RunEnd, Failure> {
        Box::pin(run::run(&self.parts, order, cancel)).await
    }

    async fn stop(&self, service: ServiceId, fence: u64) -> Result<(), Failure> {
        replicas::stop(&self.parts, service, fence).await
    }

    async fn remove(&self, removal: Removal) -> Result<RemovalReport, Failure> {
        Box::pin(removal::remove(&self.parts, removal)).await
    }

    async fn replicas(&self, service: ServiceId) -> Result<Vec<ReplicaStatus>, Failure> {
        replicas::list(&self.parts, service).await
    }

    async fn sweep(&self, intended: Intended, mode: SweepMode) -> Result<SweepReport, Failure> {
        Box::pin(sweep::sweep(&self.parts, intended, mode)).await
    }

    async fn read_logs(&self, query: LogQuery) -> Result<LogPage, Failure> {
        let logs = Arc::clone(&self.parts.logs);
        let page = tokio::task::spawn_blocking(move || logs.read(&query)).await;
        page.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(|error| log_failure(&error))
    }

    async fn follow_logs(&self, query: LogQuery) -> Result<BoxStream<'static, LogEvent>, Failure> {
        self.parts.logs.follow(query).map_err(|error| log_failure(&error))
    }

    async fn append_log(&self, stream: LogStream, line: String) -> Result<(), Failure> {
        self.parts.logs.say(stream, "seaway", line).map_err(|error| log_failure(&error))
    }

    async fn close_log(&self, stream: LogStream, status: String) -> Result<(), Failure> {
        self.parts.logs.close(stream, &status).map_err(|error| log_failure(&error))
    }

    async fn purge_logs(&self, stream: Option<LogStream>, before: DateTime<Utc>) -> Result<u64, Failure> {
        let logs = Arc::clone(&self.parts.logs);
        let freed = tokio::task::spawn_blocking(move || logs.purge(stream, before)).await;
        freed.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(|error| log_failure(&error))
    }

    async fn exec(&self, order: ExecOrder) -> Result<ExecSession, Failure> {
        exec::open(&self.parts, order).await
    }

    async fn health(&self) -> ServerHealth {
        let part = |name: &str, state: Result<String, String>| PartHealth {
            name: name.to_owned(),
            ok: state.is_ok(),
            detail: state.unwrap_or_else(|reason| reason),
        };
        let engine = match self.parts.engine.ping().await {
            Ok(()) => Ok("answers".to_owned()),
            Err(failure) => Err(failure.message),
        };
        let ingress = match self.parts.ingress.health().await {
            Ok(health) if health.warnings.is_empty() => Ok(format!("serves {} services", health.services)),
            Ok(health) => Err(health.warnings.join("; ")),
            Err(error) => Err(error.to_string()),
        };
        let collectors = self.parts.followed.lock().map(|all| all.len()).unwrap_or(0);
        ServerHealth {
            parts: vec![
                part("engine", engine),
                part("ingress", ingress),
                part("firewall", self.parts.firewall.state().await),
                part("disk", disk::health(&self.parts).await),
                part("logs", Ok(format!("follows {collectors} replicas"))),
            ],
        }
    }
}

/// Lines of a build on their way into the deployment's stream.
struct DeploymentLog {
    parts: Arc<Parts>,
    stream: LogStream,
}

#[async_trait]
impl LineSink for DeploymentLog {
    async fn line(&self, channel: LogChannel, origin: &str, text: &str) {
        let line = NewLine { at: None, channel, origin: origin.to_owned(), text: text.to_owned(), container: String::new() };
        if let Err(error) = self.parts.logs.append(self.stream, vec![line]) {
            tracing::warn!("a line of a build could not be stored: {error}");
        }
    }
}

async fn build(parts: &Arc<Parts>, mut order: BuildOrder, journal: &dyn Journal, cancel: CancellationToken) -> Result<Built, Failure> {
    disk::admit(parts).await?;
    // A build runs a tenant's commands: it needs the rules as much as a container does.
    parts.firewall.ensure().await?;
    // Caches are told apart by a name that knowing the tenant's id does not give.
    order.tenant = parts.opaque(&order.tenant);
    let docker = parts.engine.docker().await.map_err(|error| engine_failure(Step::Build, "reach the Docker engine", &error))?;
    let workshop = Workshop::new(docker, parts.runner.clone(), parts.workshop.clone());
    let sink = DeploymentLog { parts: Arc::clone(parts), stream: LogStream::Deployment(order.operation) };
    workshop.build(order, journal, &sink, cancel).await
}

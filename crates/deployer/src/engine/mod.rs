//! The container engine: the only place that speaks bollard for containers, networks, volumes and images of releases.
//!
//! It must never make a container from anything but an [`Approved`] spec of [`crate::policy`], and never touch an object
//! without the labels of this instance.

pub mod failure;
pub mod labels;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bollard::Docker;
use bollard::models::{
    ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum, ContainerUpdateBody, ImageInspect, ImageSummary, Network,
    NetworkCreateRequest, RestartPolicy, RestartPolicyNameEnum, Volume, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    ListImagesOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptionsBuilder, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use chrono::{DateTime, Utc};
use domain::deployment::{Failure, Step};
use domain::id::{DeploymentId, ServiceId};
use futures_util::StreamExt;

use crate::policy::Approved;
use crate::protocol::{ReplicaState, ReplicaStatus};
use failure::{failure, is_conflict, is_missing, is_unchanged};
use labels::{ReplicaLabels, RunLabels};

/// Limit of an ordinary call.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// On top of a container's grace when it is stopped.
const STOP_EXTRA: Duration = Duration::from_secs(30);
/// A hung removal must not hold a deployment.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(120);

/// A client of the engine that connects when it is first needed and again after the engine was away.
pub struct Engine {
    socket: PathBuf,
    instance: String,
    client: ArcSwapOption<Docker>,
}

/// A container of this instance as a listing shows it.
#[derive(Debug, Clone)]
pub struct Found {
    pub id: String,
    pub state: ContainerSummaryStateEnum,
    pub image: String,
    pub labels: HashMap<String, String>,
    /// Address in the environment's network, while it runs.
    pub address: Option<IpAddr>,
}

impl Found {
    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerSummaryStateEnum::RUNNING)
    }
}

/// A replica that exists, whatever its state.
#[derive(Debug, Clone)]
pub struct FoundReplica {
    pub id: String,
    pub labels: ReplicaLabels,
    pub state: ContainerSummaryStateEnum,
    pub address: Option<IpAddr>,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub exit_code: i64,
    pub out_of_memory: bool,
}

impl Engine {
    /// `instance` is the random id of this instance; see [`labels`].
    pub fn new(socket: impl Into<PathBuf>, instance: impl Into<String>) -> Self {
        Self { socket: socket.into(), instance: instance.into(), client: ArcSwapOption::empty() }
    }

    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The connected client, for callers inside this crate that stream (logs, exec, builds).
    pub(crate) async fn docker(&self) -> Result<Docker, bollard::errors::Error> {
        if let Some(client) = self.client.load_full() {
            return Ok(client.as_ref().clone());
        }
        let path = self.socket.to_string_lossy();
        let client = Docker::connect_with_unix(&path, CALL_TIMEOUT.as_secs(), bollard::API_DEFAULT_VERSION)?;
        let client = client.negotiate_version().await?;
        self.client.store(Some(std::sync::Arc::new(client.clone())));
        Ok(client)
    }

    async fn connected(&self, step: Step) -> Result<Docker, Failure> {
        self.docker().await.map_err(|error| failure(step, "reach the Docker engine", &error))
    }

    /// Version of the engine and whether it can reserve GPUs.
    pub async fn facts(&self) -> Result<EngineFacts, Failure> {
        let docker = self.connected(Step::Create).await?;
        let info = docker.info().await.map_err(|error| failure(Step::Create, "ask the engine for its facts", &error))?;
        let (driver, root_dir) = (info.driver.unwrap_or_default(), PathBuf::from(info.docker_root_dir.unwrap_or_default()));
        Ok(EngineFacts {
            version: info.server_version.unwrap_or_default(),
            cpus: info.ncpu.and_then(|count| u64::try_from(count).ok()).unwrap_or(1).max(1),
            gpu_runtime: info.runtimes.is_some_and(|runtimes| runtimes.contains_key("nvidia")),
            disk_quotas: crate::disk::has_quotas(&driver, &root_dir),
            root_dir,
        })
    }

    pub async fn ping(&self) -> Result<(), Failure> {
        let docker = self.connected(Step::Accept).await?;
        docker.ping().await.map(drop).map_err(|error| failure(Step::Accept, "reach the Docker engine", &error))
    }

    /// Creates the container, or answers the one that an interrupted attempt of the same operation made: names are derived
    /// from the operation.
    pub async fn create(&self, spec: &Approved) -> Result<String, Failure> {
        let docker = self.connected(Step::Create).await?;
        let options = CreateContainerOptionsBuilder::new().name(spec.name()).build();
        match docker.create_container(Some(options), spec.body().clone()).await {
            Ok(created) => Ok(created.id),
            Err(error) if is_conflict(&error) => {
                let found = docker
                    .inspect_container(spec.name(), None::<InspectContainerOptions>)
                    .await
                    .map_err(|error| failure(Step::Create, &format!("look at {}", spec.name()), &error))?;
                let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
                let wanted = spec.body().labels.clone().unwrap_or_default();
                if wanted.iter().all(|(key, value)| labels.get(key) == Some(value)) {
                    return Ok(found.id.unwrap_or_default());
                }
                Err(failure(Step::Create, &format!("create {}", spec.name()), &error))
            }
            Err(error) => Err(failure(Step::Create, &format!("create {}", spec.name()), &error)),
        }
    }

    /// Starts it; a running container is no error.
    pub async fn start(&self, id: &str) -> Result<(), Failure> {
        let docker = self.connected(Step::Start).await?;
        match docker.start_container(id, None).await {
            Ok(()) => Ok(()),
            Err(error) if is_unchanged(&error) => Ok(()),
            Err(error) => Err(failure(Step::Start, "start the container", &error)),
        }
    }

    /// Stop signal, grace, SIGKILL. Answers whether it had to be killed. A container that is gone counts as stopped.
    pub async fn stop(&self, id: &str, grace_seconds: u32) -> Result<Stopped, Failure> {
        let grace = Duration::from_secs(u64::from(grace_seconds));
        let docker = self.connected(Step::Stop).await?.with_timeout(grace + STOP_EXTRA);
        let began = tokio::time::Instant::now();
        let options = StopContainerOptionsBuilder::new().t(i32::try_from(grace_seconds).unwrap_or(i32::MAX)).build();
        match docker.stop_container(id, Some(options)).await {
            Ok(()) => {}
            Err(error) if is_unchanged(&error) || is_missing(&error) => return Ok(Stopped { killed: false, after: Duration::ZERO }),
            Err(error) => {
                // An engine that cannot stop politely (hung shim) is asked to kill before the failure is reported.
                let kill = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
                if docker.kill_container(id, Some(kill)).await.is_err() {
                    return Err(failure(Step::Stop, "stop the container", &error));
                }
            }
        }
        let after = began.elapsed();
        Ok(Stopped { killed: after >= grace && grace_seconds > 0, after })
    }

    /// Removes it with its anonymous volumes, running or not. Gone already is no error.
    pub async fn remove(&self, id: &str) -> Result<(), Failure> {
        let docker = self.connected(Step::Stop).await?.with_timeout(REMOVE_TIMEOUT);
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match docker.remove_container(id, Some(options)).await {
            Ok(()) => Ok(()),
            // 409: a removal is under way.
            Err(error) if is_missing(&error) || is_conflict(&error) => Ok(()),
            Err(error) => Err(failure(Step::Stop, "remove the container", &error)),
        }
    }

    /// Lets the engine itself restart it after a crash or a reboot, or no more.
    pub async fn set_restart(&self, id: &str, restart: bool) -> Result<(), Failure> {
        let docker = self.connected(Step::Switch).await?;
        let name = if restart { RestartPolicyNameEnum::UNLESS_STOPPED } else { RestartPolicyNameEnum::NO };
        let body = ContainerUpdateBody {
            restart_policy: Some(RestartPolicy { name: Some(name), maximum_retry_count: None }),
            ..Default::default()
        };
        docker.update_container(id, body).await.map_err(|error| failure(Step::Switch, "set the restart policy", &error))
    }

    /// `None` when it does not exist.
    pub async fn find(&self, id: &str) -> Result<Option<ContainerInspectResponse>, Failure> {
        let docker = self.connected(Step::Start).await?;
        match docker.inspect_container(id, None::<InspectContainerOptions>).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(failure(Step::Start, "look at the container", &error)),
        }
    }

    /// Resolves when the container is not running (any more).
    pub async fn ended(&self, id: &str) -> Result<Ended, Failure> {
        let docker = self.connected(Step::Health).await?;
        let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
        let answer = docker.wait_container(id, Some(options)).boxed().next().await;
        let exit_code = match answer {
            Some(Ok(answer)) => answer.status_code,
            Some(Err(bollard::errors::Error::DockerContainerWaitError { code, .. })) => code,
            Some(Err(error)) => return Err(failure(Step::Health, "wait for the container", &error)),
            None => -1,
        };
        let state = self.find(id).await?.and_then(|found| found.state).unwrap_or_default();
        Ok(Ended { exit_code, out_of_memory: state.oom_killed.unwrap_or(false) })
    }

    /// Every container of this instance with these further labels (`key=value` or `key`).
    pub async fn list(&self, more: &[String]) -> Result<Vec<Found>, Failure> {
        let docker = self.connected(Step::Create).await?;
        let mut wanted = vec![format!("{}={}", labels::INSTANCE, self.instance)];
        wanted.extend_from_slice(more);
        let filters = HashMap::from([("label".to_owned(), wanted)]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let listed = docker.list_containers(Some(options)).await.map_err(|error| failure(Step::Create, "list the containers", &error))?;
        Ok(listed.into_iter().map(found).collect())
    }

    /// Replicas of one service, of every release that still has some.
    pub async fn replicas(&self, service: ServiceId) -> Result<Vec<FoundReplica>, Failure> {
        let listed = self.list(&[format!("{}={service}", labels::SERVICE)]).await?;
        Ok(listed.into_iter().filter_map(|found| self.as_replica(found)).collect())
    }

    pub fn as_replica(&self, found: Found) -> Option<FoundReplica> {
        let labels = ReplicaLabels::read(&self.instance, &found.labels)?;
        Some(FoundReplica { id: found.id, labels, state: found.state, address: found.address })
    }

    pub fn as_run(&self, found: &Found) -> Option<RunLabels> {
        RunLabels::read(&self.instance, &found.labels)
    }

    /// Full state of one replica, for people.
    pub async fn status(&self, replica: &FoundReplica, port: Option<u16>) -> Result<Option<ReplicaStatus>, Failure> {
        let Some(inspected) = self.find(&replica.id).await? else { return Ok(None) };
        let state = inspected.state.unwrap_or_default();
        let running = state.running.unwrap_or(false);
        let shown = match (running, state.restarting.unwrap_or(false), &replica.state) {
            (_, true, _) => ReplicaState::Restarting,
            (true, ..) => ReplicaState::Running,
            (false, _, ContainerSummaryStateEnum::CREATED) => ReplicaState::Created,
            _ => ReplicaState::Stopped,
        };
        let address = inspected.network_settings.and_then(|settings| settings.networks).and_then(|networks| {
            networks.into_values().find_map(|network| network.ip_address.and_then(|text| text.parse::<IpAddr>().ok()))
        });
        Ok(Some(ReplicaStatus {
            id: replica.id.clone(),
            process: replica.labels.process.clone(),
            name: replica.labels.name(),
            release: replica.labels.version,
            state: shown,
            address: address.zip(port).filter(|_| running).map(|(ip, port)| SocketAddr::new(ip, port)),
            started_at: state.started_at.as_deref().and_then(parse_time),
            restarts: inspected.restart_count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
            exit_code: (!running).then_some(state.exit_code).flatten(),
            out_of_memory: state.oom_killed.unwrap_or(false),
        }))
    }

    /// The last lines that the container wrote, oldest first.
    pub async fn log_tail(&self, id: &str, lines: u32) -> Vec<String> {
        let Ok(docker) = self.docker().await else { return Vec::new() };
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&lines.to_string()).build();
        let mut stream = docker.logs(id, Some(options)).boxed();
        let mut text = Vec::new();
        while let Some(Ok(part)) = stream.next().await {
            text.extend_from_slice(&part.into_bytes());
            if text.len() > LOG_TAIL_BYTES_MAX {
                break;
            }
        }
        let whole = String::from_utf8_lossy(&text);
        let mut lines: Vec<String> =
            whole.lines().rev().take(lines as usize).map(|line| line.chars().take(LOG_TAIL_LINE_MAX).collect()).collect();
        lines.reverse();
        lines
    }

    /// `None` when the image is not on the server.
    pub async fn find_image(&self, reference: &str) -> Result<Option<ImageInspect>, Failure> {
        let docker = self.connected(Step::Create).await?;
        match docker.inspect_image(reference).await {
            Ok(image) => Ok(Some(image)),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(failure(Step::Create, "look at the image", &error)),
        }
    }

    /// Images with the labels of this instance.
    pub async fn list_images(&self) -> Result<Vec<ImageSummary>, Failure> {
        let docker = self.connected(Step::Record).await?;
        let filters = HashMap::from([("label".to_owned(), vec![format!("{}={}", labels::INSTANCE, self.instance)])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        docker.list_images(Some(options)).await.map_err(|error| failure(Step::Record, "list the images", &error))
    }

    /// Ids of the images that any container of this server uses, ours or not.
    pub async fn list_all_image_ids_in_use(&self) -> Result<std::collections::BTreeSet<String>, Failure> {
        let docker = self.connected(Step::Record).await?;
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let listed = docker.list_containers(Some(options)).await.map_err(|error| failure(Step::Record, "list the containers", &error))?;
        Ok(listed.into_iter().filter_map(|container| container.image_id).collect())
    }

    /// Never forced: an image that a container uses stays. `Ok(false)` when it was gone already.
    pub async fn remove_image(&self, reference: &str) -> Result<bool, bollard::errors::Error> {
        let options = RemoveImageOptionsBuilder::new().build();
        match self.docker().await?.remove_image(reference, Some(options), None).await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub async fn list_networks(&self, own: bool) -> Result<Vec<Network>, Failure> {
        let docker = self.connected(Step::Create).await?;
        let mut options = ListNetworksOptionsBuilder::new();
        if own {
            let label = vec![format!("{}={}", labels::INSTANCE, self.instance)];
            options = options.filters(&HashMap::from([("label".to_owned(), label)]));
        }
        docker.list_networks(Some(options.build())).await.map_err(|error| failure(Step::Create, "list the networks", &error))
    }

    pub async fn create_network(&self, request: NetworkCreateRequest) -> Result<(), bollard::errors::Error> {
        self.docker().await?.create_network(request).await.map(drop)
    }

    /// `Ok(false)` when it was gone already.
    pub async fn remove_network(&self, name: &str) -> Result<bool, bollard::errors::Error> {
        match self.docker().await?.remove_network(name).await {
            Ok(()) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates the volume if it does not exist. Creation is idempotent by name in the engine.
    pub async fn ensure_volume(&self, name: &str, labels: HashMap<String, String>) -> Result<(), Failure> {
        let docker = self.connected(Step::Create).await?;
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            driver: Some("local".to_owned()),
            labels: Some(labels),
            ..Default::default()
        };
        docker.create_volume(request).await.map(drop).map_err(|error| failure(Step::Create, &format!("create the volume {name}"), &error))
    }

    pub async fn list_volumes(&self) -> Result<Vec<Volume>, Failure> {
        let docker = self.connected(Step::Record).await?;
        let filters = HashMap::from([("label".to_owned(), vec![format!("{}={}", labels::INSTANCE, self.instance)])]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let listed = docker.list_volumes(Some(options)).await.map_err(|error| failure(Step::Record, "list the volumes", &error))?;
        Ok(listed.volumes.unwrap_or_default())
    }

    /// `Ok(false)` when it was gone already.
    pub async fn remove_volume(&self, name: &str) -> Result<bool, bollard::errors::Error> {
        match self.docker().await?.remove_volume(name, None::<bollard::query_parameters::RemoveVolumeOptions>).await {
            Ok(()) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Bytes and characters of a failure's log tail.
const LOG_TAIL_BYTES_MAX: usize = 256 * 1024;
const LOG_TAIL_LINE_MAX: usize = 2_000;

/// What the engine can do.
#[derive(Debug, Clone, Default)]
pub struct EngineFacts {
    pub version: String,
    pub cpus: u64,
    pub gpu_runtime: bool,
    /// The storage driver can limit what a container writes.
    pub disk_quotas: bool,
    /// Where the engine keeps images, containers and volumes.
    pub root_dir: PathBuf,
}

/// How a stop went.
#[derive(Debug, Clone, Copy)]
pub struct Stopped {
    /// It ignored its stop signal until the grace was over.
    pub killed: bool,
    pub after: Duration,
}

/// The name of a replica's container: derived from its operation, so that a repeat finds it instead of making a second one.
pub fn container_name(service: ServiceId, process: &str, replica: u32, operation: DeploymentId) -> String {
    format!("sw-{}-{process}-{replica}-{}", short(&service.to_string()), short(&operation.to_string()))
}

/// The random end of an id: enough to be unique on one server.
pub fn short(id: &str) -> String {
    let length = id.len();
    id.get(length.saturating_sub(10)..).unwrap_or(id).to_owned()
}

fn found(summary: ContainerSummary) -> Found {
    let address = summary
        .network_settings
        .and_then(|settings| settings.networks)
        .and_then(|networks| networks.into_values().find_map(|network| network.ip_address.and_then(|text| text.parse().ok())));
    Found {
        id: summary.id.unwrap_or_default(),
        state: summary.state.unwrap_or(ContainerSummaryStateEnum::EMPTY),
        image: summary.image_id.unwrap_or_default(),
        labels: summary.labels.unwrap_or_default(),
        address,
    }
}

fn parse_time(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
    // The engine writes year 1 for "never".
    (time.timestamp() > 0).then_some(time)
}

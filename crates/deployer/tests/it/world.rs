//! A server of its own per test: state folder, instance id, ingress (the real one, in this process), the machine's engine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bollard::Docker;
use bollard::query_parameters::{ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder};
use deployer::local::{LocalServer, LocalServerConfig};
use deployer::network::firewall::FirewallMode;
use deployer::protocol::*;
use domain::deployment::{Failure, Step};
use domain::id::{DeploymentId, EnvironmentId, ReleaseId, ServiceId};
use domain::service::{EngineSettings, HealthCheck, Limits, Probe};
use domain::{Entropy, Secret, SystemClock, SystemEntropy};
use ingress::Ingress;
use tokio_util::sync::CancellationToken;

pub const PORT: u16 = 8080;
/// Made by tests/images/build.sh (`make setup`).
const IMAGE: &str = "seaway-test/behave";

pub struct World {
    pub server: Arc<LocalServer>,
    pub docker: Docker,
    pub address: SocketAddr,
    pub instance: String,
    pub image: String,
    pub folder: tempfile::TempDir,
    config: LocalServerConfig,
    _ingress: Ingress,
    _mark: std::fs::File,
}

/// What a test wants to run, changed by the test.
pub struct App {
    pub service: ServiceId,
    pub environment: EnvironmentId,
    pub host: String,
    fence: std::sync::atomic::AtomicU64,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With other settings than the usual ones.
    pub async fn with(change: impl FnOnce(&mut LocalServerConfig)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let docker = Docker::connect_with_unix_defaults().expect("no Docker socket: start the engine with tests/dockerd.sh");
        let docker = docker.negotiate_version().await.expect("the Docker engine does not answer: start it with tests/dockerd.sh");
        let image = docker.inspect_image(IMAGE).await.expect("the image seaway-test/behave is missing: run tests/images/build.sh behave");
        let folder = tempfile::tempdir().unwrap();
        let (instance, socket) = (hex(&SystemEntropy.bytes::<8>()), folder.path().join("ingress.sock"));
        let ingress_config =
            ingress::IngressConfig::new(vec!["127.0.0.1:0".parse().unwrap()], socket.clone(), folder.path().join("ingress"));
        let ingress = Ingress::start(ingress_config, Arc::new(SystemClock), &SystemEntropy).await.unwrap();
        let address = ingress.addresses()[0];
        let mark = mark(&instance);
        let mut config = LocalServerConfig {
            state_dir: folder.path().join("state"),
            docker_socket: PathBuf::from("/var/run/docker.sock"),
            instance: instance.clone(),
            ingress_socket: socket,
            ingress_listen: address,
            firewall: FirewallMode::Required,
            own_ports: vec![],
            ranges_denied: vec![],
            hosts_denied: vec![],
            address_range: "10.214.0.0/16".parse().unwrap(),
            bind_allowed: vec![],
            egress: deployer::egress::EgressPolicy::default(),
            secret_dir: folder.path().join("secrets"),
            fileserver: None,
            frontends: vec![],
            add_from_network: false,
            builder: deployer::builder::BuilderChoice::Auto,
            // The machine of the tests may be full.
            disk: deployer::disk::DiskSettings { used_percent_max: 100, clean_percent: 100, ..Default::default() },
            replica_disk_bytes_max: Some(1 << 30),
        };
        change(&mut config);
        let server = start(&config);
        Self { _mark: mark, server, docker, address, instance, image: image.id.unwrap(), folder, config, _ingress: ingress }
    }

    /// The agent restarts; what it knew is what it kept on disk.
    pub async fn restart(&mut self) {
        self.server.shutdown().await;
        self.server = start(&self.config);
    }

    pub async fn apply(&self, order: ApplyOrder) -> Result<Applied, Failure> {
        self.server.apply(order, &NoJournal, CancellationToken::new()).await
    }

    /// Containers of this test, whatever their state.
    pub async fn containers(&self) -> Vec<bollard::models::ContainerSummary> {
        let options = ListContainersOptionsBuilder::new().all(true).filters(&self.label()).build();
        self.docker.list_containers(Some(options)).await.unwrap()
    }

    pub async fn running(&self) -> Vec<String> {
        let mut ids: Vec<String> = self
            .containers()
            .await
            .into_iter()
            .filter(|container| matches!(container.state, Some(bollard::models::ContainerSummaryStateEnum::RUNNING)))
            .filter_map(|container| container.id)
            .collect();
        ids.sort();
        ids
    }

    fn label(&self) -> std::collections::HashMap<String, Vec<String>> {
        [("label".to_owned(), vec![format!("seaway.instance={}", self.instance)])].into()
    }

    pub async fn get(&self, host: &str, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.address);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        match client.get(url).header("host", host).timeout(Duration::from_secs(40)).send().await {
            Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
            Err(error) => (0, error.to_string()),
        }
    }

    pub async fn log(&self, stream: LogStream) -> Vec<String> {
        let page = self.server.read_logs(LogQuery::whole(stream)).await.unwrap();
        page.events.into_iter().filter_map(|event| if let LogEvent::Line(line) = event { Some(line.text) } else { None }).collect()
    }

    /// Removes everything and proves that nothing of this instance is left in the engine.
    pub async fn end(self, apps: &[&App]) {
        let volumes: Vec<domain::id::VolumeId> = {
            let options = ListVolumesOptionsBuilder::new().filters(&self.label()).build();
            let listed = self.docker.list_volumes(Some(options)).await.unwrap().volumes.unwrap_or_default();
            listed.iter().filter_map(|volume| volume.labels.get("seaway.volume")?.parse().ok()).collect()
        };
        for app in apps {
            let report = self.server.remove(Removal::Service { service: app.service, volumes: volumes.clone() }).await.unwrap();
            assert_eq!(report.left, Vec::<String>::new());
            self.server.remove(Removal::Environment { environment: app.environment }).await.unwrap();
            assert_eq!(self.get(&app.host, "/").await.0, 404, "the route must be gone");
        }
        self.server.shutdown().await;
        assert!(self.containers().await.is_empty(), "containers are left");
        assert!(!rules().contains(&self.instance), "rules of the firewall are left:\n{}", rules());
        let _absent = std::fs::remove_file(std::env::temp_dir().join("seaway-test-instances").join(&self.instance));
        let options = ListNetworksOptionsBuilder::new().filters(&self.label()).build();
        assert!(self.docker.list_networks(Some(options)).await.unwrap().is_empty(), "networks are left");
        let options = ListVolumesOptionsBuilder::new().filters(&self.label()).build();
        assert!(self.docker.list_volumes(Some(options)).await.unwrap().volumes.unwrap_or_default().is_empty(), "volumes are left");
    }
}

/// Held as long as this process lives: what an instance leaves whose mark nobody holds is removed by `tests/leftovers.py`.
fn mark(instance: &str) -> std::fs::File {
    let folder = std::env::temp_dir().join("seaway-test-instances");
    std::fs::create_dir_all(&folder).unwrap();
    let file = std::fs::File::create(folder.join(instance)).unwrap();
    file.lock().unwrap();
    file
}

fn start(config: &LocalServerConfig) -> Arc<LocalServer> {
    Arc::new(LocalServer::new(config.clone(), Arc::new(SystemClock), Arc::new(SystemEntropy)).unwrap())
}

/// All rules of the machine's firewall.
pub fn rules() -> String {
    let listed = std::process::Command::new("iptables").args(["-w", "5", "-S"]).output().expect("iptables is installed");
    String::from_utf8_lossy(&listed.stdout).into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl App {
    pub fn new() -> Self {
        let service = ServiceId::new(&SystemClock, &SystemEntropy);
        let host = format!("{}.test", service.to_string().replace('_', "-"));
        Self { service, environment: EnvironmentId::new(&SystemClock, &SystemEntropy), host, fence: 0.into() }
    }

    /// A release with these variables; `MESSAGE` shows in every answer.
    pub fn order(&self, world: &World, version: u64, variables: &[(&str, &str)]) -> ApplyOrder {
        let fence = self.fence.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        let mut all: BTreeMap<String, Secret<String>> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned()))).collect();
        all.entry("MESSAGE".to_owned()).or_insert_with(|| Secret::new(format!("v{version}")));
        ApplyOrder {
            operation: DeploymentId::new(&SystemClock, &SystemEntropy),
            fence,
            replace: false,
            desired: Desired {
                service: self.service,
                environment: self.environment,
                alias: "app".into(),
                release: ReleaseId::new(&SystemClock, &SystemEntropy),
                version,
                image: world.image.clone(),
                processes: vec![process("web", 1)],
                variables: all,
                port: PORT,
                health: HealthCheck { probe: Probe::Http { path: "/healthz".into() }, deadline_seconds: 20, ..HealthCheck::default() },
                mounts: vec![],
                stop_grace_seconds: 5,
                drain_seconds: 5,
                read_only_root: false,
                engine: EngineSettings::default(),
                hosts: vec![self.host.clone()],
                request_body_bytes_max: 1 << 20,
                request_timeout_seconds: 30,
                masks: vec![],
            },
        }
    }
}

pub fn process(name: &str, replicas: u32) -> DesiredProcess {
    let limits = Limits { memory_bytes: 64 << 20, cpu_millis: 500, pids: 1024 };
    DesiredProcess { name: name.into(), command: None, replicas, limits }
}

/// The same order once more, as a resumed worker sends it.
pub fn again(order: &ApplyOrder) -> ApplyOrder {
    ApplyOrder { operation: order.operation, fence: order.fence, desired: order.desired.clone(), replace: order.replace }
}

pub async fn until<F: Future<Output = bool>>(what: &str, limit: Duration, check: impl Fn() -> F) {
    let deadline = Instant::now() + limit;
    while !check().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A place in a deployment: before or after the effect of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Before(Step),
    After(Step),
}

/// Records every call, and at one place never comes back: the future is dropped there, as by `kill -9`.
pub struct KillingJournal {
    pub at: Option<Place>,
    pub reached: CancellationToken,
    pub seen: Mutex<Vec<Place>>,
}

impl KillingJournal {
    pub fn new(at: Option<Place>) -> Self {
        Self { at, reached: CancellationToken::new(), seen: Mutex::default() }
    }

    async fn pass(&self, place: Place) {
        self.seen.lock().unwrap().push(place);
        if self.at == Some(place) {
            self.reached.cancel();
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Journal for KillingJournal {
    async fn before(&self, step: Step) -> Result<(), Failure> {
        self.pass(Place::Before(step)).await;
        Ok(())
    }
    async fn after(&self, step: Step, _note: Option<String>) -> Result<(), Failure> {
        self.pass(Place::After(step)).await;
        Ok(())
    }
}

/// Open-loop load on one host until stopped; counts what did not answer 200.
pub struct Load {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<(u64, Vec<String>)>,
}

impl Load {
    pub fn begin(address: SocketAddr, host: &str, per_second: u64) -> Self {
        let (stop, host) = (CancellationToken::new(), host.to_owned());
        let token = stop.clone();
        let task = tokio::spawn(async move {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / per_second));
            let (mut sent, mut answers) = (0, tokio::task::JoinSet::new());
            while !token.is_cancelled() {
                tick.tick().await;
                sent += 1;
                let request = client.get(format!("http://{address}/")).header("host", &host).timeout(Duration::from_secs(35));
                answers.spawn(async move {
                    match request.send().await {
                        Ok(answer) if answer.status() == 200 => answer.bytes().await.err().map(|error| error.to_string()),
                        Ok(answer) => Some(format!("{} {:?}", answer.status(), answer.headers().get(ingress::ERROR_HEADER))),
                        Err(error) => Some(format!("{error:?}")),
                    }
                });
            }
            let failures = answers.join_all().await.into_iter().flatten().collect();
            (sent, failures)
        });
        Self { stop, task }
    }

    pub async fn end(self) -> u64 {
        self.stop.cancel();
        let (sent, failures) = self.task.await.unwrap();
        assert!(failures.is_empty(), "{} of {sent} requests failed, first: {:?}", failures.len(), failures.first());
        sent
    }
}

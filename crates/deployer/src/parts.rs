//! What every part of the server side shares. Made once by [`crate::local::LocalServer`].

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use domain::deployment::Failure;
use domain::id::{RunId, ServiceId};
use domain::{Clock, Entropy};
use ingress::{IngressClient, ServiceRoute};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::Engine;
use crate::logs::LogStore;
use crate::logs::collect::{Collector, Followed};
use crate::mask::Masker;
use crate::network::Networks;
use crate::network::firewall::Firewall;
use crate::policy::HostFacts;
use crate::process::Runner;
use crate::protocol::LogStream;
use crate::state::States;

pub struct Parts {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub state_dir: PathBuf,
    pub engine: Arc<Engine>,
    pub networks: Networks,
    pub firewall: Firewall,
    pub ingress: IngressClient,
    /// Where the ingress listens for browsers; the deployment looks at the app through it.
    pub ingress_listen: SocketAddr,
    pub states: States,
    pub logs: Arc<LogStore>,
    pub runner: Runner,
    pub bind_allowed: Vec<PathBuf>,
    pub disk: crate::disk::DiskSettings,
    /// When the build cache was brought down to its usual size last.
    pub cache_pruned: Mutex<Option<tokio::time::Instant>>,
    pub replica_disk_bytes_max: Option<u64>,
    pub fingerprint_key: Vec<u8>,
    pub workshop: crate::builder::WorkshopSettings,
    /// One change at a time per service.
    pub locks: Mutex<HashMap<ServiceId, Arc<tokio::sync::Mutex<()>>>>,
    /// What the ingress acknowledged last.
    pub routed: Mutex<HashMap<ServiceId, ServiceRoute>>,
    /// Containers whose output is followed.
    pub followed: Mutex<HashMap<String, CancellationToken>>,
    /// One-off commands of this process.
    pub runs: Mutex<std::collections::HashSet<RunId>>,
    pub facts: tokio::sync::OnceCell<crate::engine::EngineFacts>,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

impl Parts {
    /// A stable name for something of a tenant that nobody outside of this server can work out.
    pub fn opaque(&self, name: &str) -> String {
        use hmac::{Hmac, KeyInit, Mac};
        let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(&self.fingerprint_key) else { return String::new() };
        mac.update(b"tenant");
        mac.update(name.as_bytes());
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn lock_of(&self, service: ServiceId) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.locks.lock().unwrap_or_else(PoisonError::into_inner).entry(service).or_default())
    }

    /// What the policy has to know of this server.
    pub async fn host_facts(&self) -> Result<HostFacts, Failure> {
        let facts = self.facts.get_or_try_init(|| self.engine.facts()).await?;
        Ok(HostFacts {
            instance: self.engine.instance().to_owned(),
            gpu_runtime: facts.gpu_runtime,
            cpus: facts.cpus,
            // The engine's limit cannot be asked for; on one machine it is that of the services, ours too.
            nofile_max: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
            bind_allowed: self.bind_allowed.clone(),
            replica_disk_bytes_max: self.replica_disk_bytes_max.filter(|_| facts.disk_quotas),
            fingerprint_key: self.fingerprint_key.clone(),
        })
    }

    /// Follows a container's output into its service's stream, once.
    pub fn follow(self: &Arc<Self>, followed: Followed) {
        if self.stop.is_cancelled() {
            return;
        }
        let token = self.stop.child_token();
        {
            let mut all = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
            if all.contains_key(&followed.container) {
                return;
            }
            all.insert(followed.container.clone(), token.clone());
        }
        let parts = Arc::clone(self);
        self.tasks.spawn(async move {
            let container = followed.container.clone();
            Collector { engine: Arc::clone(&parts.engine), store: Arc::clone(&parts.logs) }.follow(followed, token).await;
            parts.followed.lock().unwrap_or_else(PoisonError::into_inner).remove(&container);
        });
    }

    pub fn follow_replica(self: &Arc<Self>, container: &str, service: ServiceId, origin: &str, masker: &Arc<Masker>) {
        self.follow(Followed {
            container: container.to_owned(),
            stream: LogStream::Service(service),
            origin: origin.to_owned(),
            masker: Arc::clone(masker),
        });
    }

    /// A line of Seaway in a stream. A log that cannot be written stops nothing.
    pub fn say(&self, stream: LogStream, origin: &str, text: impl Into<String>) {
        if let Err(error) = self.logs.say(stream, origin, text) {
            tracing::warn!("a line of a log could not be stored: {error}");
        }
    }

    /// Puts a route, unless the ingress has it already.
    pub async fn put_route(&self, service: ServiceId, route: ServiceRoute) -> Result<(), ingress::client::ClientError> {
        let known = self.routed.lock().unwrap_or_else(PoisonError::into_inner).get(&service) == Some(&route);
        if known {
            return Ok(());
        }
        self.put_route_always(service, route).await
    }

    pub async fn put_route_always(&self, service: ServiceId, route: ServiceRoute) -> Result<(), ingress::client::ClientError> {
        self.routed.lock().unwrap_or_else(PoisonError::into_inner).remove(&service);
        self.ingress.put(&route).await?;
        self.routed.lock().unwrap_or_else(PoisonError::into_inner).insert(service, route);
        Ok(())
    }

    pub async fn delete_route(&self, service: ServiceId, fence: u64) -> Result<(), ingress::client::ClientError> {
        self.routed.lock().unwrap_or_else(PoisonError::into_inner).remove(&service);
        self.ingress.delete(&service.to_string(), fence).await.map(drop)
    }

    pub fn files_dir(&self, service: ServiceId) -> PathBuf {
        self.state_dir.join("files").join(service.to_string())
    }
}

/// The key of the fingerprints: made at the first start, readable by its owner only.
pub fn fingerprint_key(state_dir: &std::path::Path, entropy: &dyn Entropy) -> io::Result<Vec<u8>> {
    let path = state_dir.join("fingerprint.key");
    match fs::read(&path) {
        Ok(key) if key.len() == 32 => return Ok(key),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut key = vec![0; 32];
    entropy.fill(&mut key);
    let temporary = path.with_extension("writing");
    let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    Ok(key)
}

/// Addresses of running containers.
pub type Addresses = BTreeMap<String, std::net::IpAddr>;

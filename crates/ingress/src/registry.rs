//! All services: changes go to disk first, then become visible as one; requests read snapshots and never wait.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, Weak, atomic::Ordering},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::{net::TcpStream, task::JoinSet, time::Instant};

use crate::{
    index::Index,
    live::{ReplicaLive, ServiceLive},
    persist::{Loaded, RouteStore, Stored},
    routes::{DRAIN_MS, DRAIN_MS_MAX, HostTable, Place, RouteError, ServiceRoute, validate_id},
    wire::{Acknowledged, Drained, ServiceMetrics},
};

/// After a cut, what was cut gets this long to notice.
const CUT_WAIT: Duration = Duration::from_secs(5);
/// Restored replicas are tried for at most this long before the first request is taken.
const PROBE_TIMEOUT: Duration = Duration::from_millis(300);
/// Between two tries to reach a replica that is down.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Invalid(#[from] RouteError),
    #[error("generation {given} of service {service} is older than the stored {stored}")]
    Stale { service: String, given: u64, stored: u64 },
    #[error("service {0} is not known here")]
    Unknown(String),
    #[error("replica {0} still gets requests; take it out of the route before draining it")]
    Routed(String),
    #[error("the route could not be written, the one before stays active: {0}")]
    Storage(String),
}

type Hosts = Index<Arc<ServiceLive>>;

#[derive(Debug)]
pub struct Registry {
    hosts: ArcSwap<Hosts>,
    book: Mutex<Book>,
    store: Arc<RouteStore>,
    /// Replicas that could not be reached; a probe brings them back.
    unreachable: Mutex<Vec<Weak<ReplicaLive>>>,
}

#[derive(Debug, Default)]
struct Book {
    services: HashMap<String, Arc<ServiceLive>>,
    table: HostTable,
}

impl Registry {
    pub fn new(store: RouteStore) -> Self {
        Self { hosts: ArcSwap::default(), book: Mutex::default(), store: Arc::new(store), unreachable: Mutex::default() }
    }

    /// The owner of a normalised host.
    pub fn find_host(&self, host: &str) -> Option<Arc<ServiceLive>> {
        self.hosts.load().find_host(host).map(|entry| Arc::clone(&entry.owner))
    }

    /// The place of a normalised host and path, and its owner.
    pub fn find_place(&self, host: &str, path: &str) -> Option<(Arc<ServiceLive>, Arc<Place>)> {
        self.hosts.load().find(host, path).map(|entry| (Arc::clone(&entry.owner), Arc::clone(&entry.place)))
    }

    pub fn find(&self, service: &str) -> Option<Arc<ServiceLive>> {
        self.book().services.get(service).cloned()
    }

    /// Known routes, by id.
    pub fn list(&self) -> Vec<Arc<ServiceRoute>> {
        let services: Vec<_> = self.services();
        let mut routes: Vec<_> = services.iter().filter_map(|service| service.active.load().route.clone()).collect();
        routes.sort_by(|a, b| a.service.cmp(&b.service));
        routes
    }

    pub fn host_count(&self) -> usize {
        self.hosts.load().len()
    }

    pub fn metrics(&self) -> impl Iterator<Item = (String, ServiceMetrics)> {
        self.services().into_iter().map(|service| (service.id.clone(), service.metrics()))
    }

    /// Loads what is on disk; answers one sentence for each thing that was wrong. Replicas that do not accept a connection
    /// start as down, so that the first request tries another one first.
    pub async fn restore(&self, now: SystemTime) -> Vec<String> {
        let store = Arc::clone(&self.store);
        let Loaded { mut services, mut warnings } = match tokio::task::spawn_blocking(move || store.load(now)).await {
            Ok(loaded) => loaded,
            Err(error) => Loaded { services: Vec::new(), warnings: vec![format!("the routes cannot be read: {error}")] },
        };
        // An older version may name a host that has moved on since; a current one wins.
        services.sort_by_key(|service| service.is_last_good);
        for mut loaded in services {
            let live = self.entry(&loaded.stored.service);
            live.generation.store(loaded.stored.generation, Ordering::Release);
            let Some(route) = &mut loaded.stored.route else {
                continue;
            };
            let mut book = self.book();
            let service = route.service.clone();
            let mut is_free = |key: &str| match book.table.owner(key) {
                Some(owner) => {
                    warnings.push(format!("the host {key} of service {service} belongs to {owner} now and is left out"));
                    false
                }
                None => true,
            };
            route.hosts.retain(|host| is_free(host));
            route.places.retain(|place| is_free(&place.key()));
            if let Err(error) = book.table.claim(&route.service, &route.place_keys()) {
                warnings.push(error.to_string());
                continue;
            }
            drop(book);
            live.activate(loaded.stored.route.map(Arc::new));
        }
        self.publish_hosts(|hosts, book| {
            for service in book.services.values() {
                publish_of(hosts, service);
            }
        });
        self.probe_all().await;
        warnings
    }

    /// Checks, fences, writes, activates. The work goes on when the caller is gone: half a change does not exist.
    pub async fn put(self: &Arc<Self>, route: ServiceRoute) -> Result<Acknowledged, ChangeError> {
        route.validate()?;
        let (service, generation) = (route.service.clone(), route.generation);
        self.detached(Stored { service, generation, route: Some(route) }).await
    }

    /// Removes a service. Its generation stays as a fence.
    pub async fn delete(self: &Arc<Self>, service: &str, generation: u64) -> Result<Acknowledged, ChangeError> {
        validate_id(service)?;
        self.detached(Stored { service: service.to_owned(), generation, route: None }).await
    }

    /// See [`crate::client::IngressClient::drain`].
    pub async fn drain(&self, service: &str, replicas: &[String], grace_ms: Option<u64>) -> Result<Drained, ChangeError> {
        let begin = Instant::now();
        let live = self.find(service).ok_or_else(|| ChangeError::Unknown(service.to_owned()))?;
        let active = live.active.load_full();
        if let Some(routed) = active.replicas.iter().find(|replica| replicas.contains(&replica.id)) {
            return Err(ChangeError::Routed(routed.id.clone()));
        }
        let grace_ms = grace_ms.unwrap_or(active.route.as_ref().map_or(DRAIN_MS, |route| route.drain_ms)).min(DRAIN_MS_MAX);
        let leaving: Vec<_> = live.retired().into_iter().filter(|replica| replicas.contains(&replica.id)).collect();
        let websocket_ms = active.route.as_ref().and_then(|route| route.policy.websocket_drain_ms).filter(|early| *early < grace_ms);
        let ending = end_all(&leaving, begin + Duration::from_millis(grace_ms));
        tokio::pin!(ending);
        let cut = match websocket_ms {
            None => ending.await,
            Some(early_ms) => tokio::select! {
                cut = &mut ending => cut,
                () = tokio::time::sleep_until(begin + Duration::from_millis(early_ms)) => end_tunnels(&leaving) + ending.await,
            },
        };
        live.counters.cut.fetch_add(cut, Ordering::Relaxed);
        live.forget_idle_retired();
        Ok(Drained { cut, waited_ms: u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX) })
    }

    /// Ends everything that is in flight anywhere; the last step of a shutdown.
    pub async fn cut_all(&self) -> u64 {
        let services = self.services();
        let mut all: Vec<Arc<ReplicaLive>> = Vec::new();
        for service in &services {
            all.extend(service.active.load().replicas.iter().cloned());
            all.extend(service.retired());
        }
        end_all(&all, Instant::now()).await
    }

    /// Closes connections to replicas that were idle for longer than `idle_max`.
    pub fn sweep(&self, idle_max: Duration) {
        for service in self.services() {
            for replica in &service.active.load().replicas {
                replica.sweep_pools(idle_max);
            }
            service.forget_idle_retired();
        }
    }

    async fn detached(self: &Arc<Self>, stored: Stored) -> Result<Acknowledged, ChangeError> {
        let registry = Arc::clone(self);
        let change = tokio::spawn(async move { registry.change(stored).await });
        change.await.unwrap_or_else(|error| Err(ChangeError::Storage(error.to_string())))
    }

    async fn change(&self, stored: Stored) -> Result<Acknowledged, ChangeError> {
        let acknowledged = Acknowledged { service: stored.service.clone(), generation: stored.generation };
        let live = self.entry(&stored.service);
        let _serial = live.change.lock().await;
        let known = live.generation.load(Ordering::Acquire);
        if stored.generation < known {
            return Err(ChangeError::Stale { service: stored.service, given: stored.generation, stored: known });
        }
        let before = live.active.load_full();
        if before.route.as_deref() == stored.route.as_ref() && stored.generation == known {
            return Ok(acknowledged); // a repeat: it is on disk and active
        }
        let keys = stored.route.as_ref().map(ServiceRoute::place_keys).unwrap_or_default();
        let fresh = self.book().table.claim(&stored.service, &keys)?;

        let store = Arc::clone(&self.store);
        let writing = tokio::task::spawn_blocking(move || store.write(&stored).map(|()| stored)).await;
        let stored = match writing.map_err(std::io::Error::other).flatten() {
            Ok(stored) => stored,
            Err(error) => {
                self.book().table.release(&live.id, &fresh);
                tracing::warn!(service = %live.id, %error, "a route could not be written");
                return Err(ChangeError::Storage(error.to_string()));
            }
        };
        live.generation.store(stored.generation, Ordering::Release);
        live.activate(stored.route.map(Arc::new));
        self.move_places(&live, before.route.as_deref());
        Ok(acknowledged)
    }

    /// Makes the places of the active route known and those that it left unknown. Most changes keep them: nothing to do then.
    fn move_places(&self, live: &Arc<ServiceLive>, before: Option<&ServiceRoute>) {
        let active = live.active.load_full();
        let now = active.route.as_deref();
        let places = |route: Option<&ServiceRoute>| route.map(|route| route.all_places().collect::<Vec<_>>()).unwrap_or_default();
        let (before, now) = (places(before), places(now));
        if now == before {
            return;
        }
        self.publish_hosts(|hosts, book| {
            let keys: HashSet<String> = now.iter().map(Place::key).collect();
            let left: Vec<&Place> = before.iter().filter(|place| !keys.contains(&place.key())).collect();
            let left_keys: Vec<String> = left.iter().map(|place| place.key()).collect();
            for place in left {
                hosts.remove(place);
            }
            book.table.release(&live.id, &left_keys);
            publish_of(hosts, live);
        });
    }

    fn publish_hosts(&self, edit: impl FnOnce(&mut Hosts, &mut Book)) {
        let mut book = self.book();
        let mut hosts = Hosts::clone(&self.hosts.load());
        edit(&mut hosts, &mut book);
        self.hosts.store(Arc::new(hosts));
    }

    async fn probe_all(&self) {
        let mut probes = JoinSet::new();
        for service in self.services() {
            for replica in service.active.load().replicas.iter().cloned() {
                probes.spawn(async move {
                    let connected = tokio::time::timeout(PROBE_TIMEOUT, TcpStream::connect(replica.address)).await;
                    if !matches!(connected, Ok(Ok(_))) {
                        replica.health.mark_down();
                    }
                });
            }
        }
        let _in_time = tokio::time::timeout(PROBE_TIMEOUT * 2, async { while probes.join_next().await.is_some() {} }).await;
    }

    /// A connection to it could not be opened.
    pub fn note_unreachable(&self, replica: &Arc<ReplicaLive>) {
        if replica.health.unreachable() {
            self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(replica));
        }
    }

    /// Tries those that could not be reached; called every [`PROBE_INTERVAL`].
    pub async fn probe_unreachable(&self) {
        let asked = std::mem::take(&mut *self.unreachable.lock().unwrap_or_else(PoisonError::into_inner));
        let mut probes = JoinSet::new();
        for replica in asked.iter().filter_map(Weak::upgrade).filter(|replica| !replica.is_retired()) {
            probes.spawn(async move {
                let connected = tokio::time::timeout(PROBE_TIMEOUT, TcpStream::connect(replica.address)).await;
                let is_up = matches!(connected, Ok(Ok(_)));
                if is_up {
                    replica.health.reached();
                }
                (!is_up).then(|| Arc::downgrade(&replica))
            });
        }
        let mut still_down = Vec::new();
        while let Some(probed) = probes.join_next().await {
            still_down.extend(probed.ok().flatten());
        }
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner).extend(still_down);
    }

    fn entry(&self, service: &str) -> Arc<ServiceLive> {
        let mut book = self.book();
        Arc::clone(book.services.entry(service.to_owned()).or_insert_with(|| Arc::new(ServiceLive::new(service))))
    }

    fn services(&self) -> Vec<Arc<ServiceLive>> {
        self.book().services.values().cloned().collect()
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn publish_of(hosts: &mut Hosts, service: &Arc<ServiceLive>) {
    if let Some(route) = &service.active.load().route {
        for place in route.all_places() {
            hosts.insert(Arc::new(place), Arc::clone(service));
        }
    }
}

/// Ends their WebSockets with a close frame; answers how many.
fn end_tunnels(replicas: &[Arc<ReplicaLive>]) -> u64 {
    let mut cut = 0;
    for replica in replicas {
        let open = replica.tunnels.load(Ordering::Relaxed);
        replica.seen.cut.fetch_add(open, Ordering::Relaxed);
        replica.cut_tunnels.cancel();
        cut += open;
    }
    cut
}

/// Waits for all until `deadline`, then ends what is left. Answers how many were ended.
async fn end_all(replicas: &[Arc<ReplicaLive>], deadline: Instant) -> u64 {
    let mut cut = 0;
    for replica in replicas {
        cut += replica.wait_idle(deadline).await;
    }
    if cut == 0 {
        return 0;
    }
    // Counted when the grace ends for all of them, not while one was waited for.
    let cut = replicas.iter().map(|replica| replica.in_flight()).sum();
    for replica in replicas {
        replica.seen.cut.fetch_add(replica.in_flight(), Ordering::Relaxed);
        replica.cut.cancel();
    }
    let noticed = Instant::now() + CUT_WAIT;
    for replica in replicas {
        replica.wait_idle(noticed).await;
    }
    cut
}

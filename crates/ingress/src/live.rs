//! The running side of a route: replicas with their claims, and the snapshot that requests read.
//!
//! A request claims a replica by adding one to its claim word. Taking a replica out sets the top bit of the same word, so
//! the two are ordered: after the bit is set no claim succeeds, and a drain that then sees zero knows that nothing comes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    balance::{health::Health, visitor},
    policy::{compiled::Compiled, rate::Rates},
    pool::{Pool, Upstream},
    routes::{Replica, RouteState, ServiceRoute},
    seen::counters::{ReleaseSeen, ServiceSeen},
    wire::{ReleaseMetrics, ServiceMetrics},
};

const RETIRED: u64 = 1 << 63;

#[derive(Debug)]
pub struct ReplicaLive {
    pub id: String,
    pub address: SocketAddr,
    pub release: u64,
    /// What a sticky cookie says of it.
    pub token: u64,
    pub health: Health,
    pub seen: Arc<ReleaseSeen>,
    /// Fires when the grace of a drain is over: what still runs ends now.
    pub cut: CancellationToken,
    /// Fires with `cut`, or before it: WebSockets end, the rest goes on.
    pub cut_tunnels: CancellationToken,
    pub tunnels: AtomicU64,
    pool: Pool,
    /// Connections to other ports than its own.
    ports: Mutex<BTreeMap<u16, Arc<Pool>>>,
    claims: AtomicU64,
    idle: Notify,
}

impl ReplicaLive {
    pub fn new(replica: &Replica, seen: Arc<ReleaseSeen>) -> Self {
        let cut = CancellationToken::new();
        Self {
            id: replica.id.clone(),
            address: replica.address,
            release: replica.release,
            token: visitor::hash(&[&replica.id]),
            health: Health::new(),
            seen,
            cut_tunnels: cut.child_token(),
            cut,
            tunnels: AtomicU64::new(0),
            pool: Pool::default(),
            ports: Mutex::default(),
            claims: AtomicU64::new(0),
            idle: Notify::new(),
        }
    }

    pub fn in_flight(&self) -> u64 {
        self.claims.load(Ordering::Acquire) & !RETIRED
    }

    pub fn is_retired(&self) -> bool {
        self.claims.load(Ordering::Acquire) & RETIRED != 0
    }

    /// The address and the pool of a port; `None` is the replica's own.
    pub fn address_of(&self, port: Option<u16>) -> SocketAddr {
        port.map_or(self.address, |port| SocketAddr::new(self.address.ip(), port))
    }

    /// An idle connection; see [`Pool::take`].
    pub fn take(&self, port: Option<u16>, idle_max: Duration) -> Option<Upstream> {
        match port {
            None => self.pool.take(idle_max),
            Some(port) => self.pool_of(port).take(idle_max),
        }
    }

    pub fn give_back(&self, upstream: Upstream) {
        match upstream.port {
            None => self.pool.put(upstream),
            Some(port) => self.pool_of(port).put(upstream),
        }
    }

    pub fn clear_pools(&self) {
        self.pool.clear();
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// See [`Pool::sweep`].
    pub fn sweep_pools(&self, idle_max: Duration) {
        self.pool.sweep(idle_max);
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).values().for_each(|pool| pool.sweep(idle_max));
    }

    fn pool_of(&self, port: u16) -> Arc<Pool> {
        Arc::clone(self.ports.lock().unwrap_or_else(PoisonError::into_inner).entry(port).or_default())
    }

    /// Waits until nothing is in flight, at most until `deadline`. Answers what is left.
    pub async fn wait_idle(&self, deadline: Instant) -> u64 {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            let left = self.in_flight();
            if left == 0 || tokio::time::timeout_at(deadline, idle).await.is_err() {
                return self.in_flight();
            }
        }
    }

    fn retire(&self) {
        self.claims.fetch_or(RETIRED, Ordering::AcqRel);
        self.clear_pools();
    }
}

/// The right to use a replica for one request; given back when dropped.
#[derive(Debug)]
pub struct Claim(Arc<ReplicaLive>);

impl Claim {
    /// `None`: the replica was taken out.
    pub fn try_new(replica: &Arc<ReplicaLive>) -> Option<Self> {
        let before = replica.claims.fetch_add(1, Ordering::AcqRel);
        let claim = Self(Arc::clone(replica));
        (before & RETIRED == 0).then_some(claim)
    }

    pub fn replica(&self) -> &Arc<ReplicaLive> {
        &self.0
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let before = self.0.claims.fetch_sub(1, Ordering::AcqRel);
        if before == (RETIRED | 1) {
            self.0.idle.notify_waiters();
        }
    }
}

/// What requests see: replaced as a whole.
#[derive(Debug)]
pub struct Active {
    /// `None`: removed, or never put.
    pub route: Option<Arc<ServiceRoute>>,
    /// The route's own, then those of its canary.
    pub replicas: Vec<Arc<ReplicaLive>>,
    /// How many of `replicas` are the route's own.
    pub stable_count: usize,
    pub policy: Arc<Compiled>,
}

#[derive(Debug, Default)]
pub struct Counters {
    pub requests: AtomicU64,
    /// By first digit, 1 to 5.
    pub by_class: [AtomicU64; 6],
    pub ingress_5xx: AtomicU64,
    pub cut: AtomicU64,
    pub retries: AtomicU64,
}

/// One service, for the life of the process: its counters and the snapshot of its route.
#[derive(Debug)]
pub struct ServiceLive {
    pub id: String,
    pub active: ArcSwap<Active>,
    /// Held while the route changes: changes of one service are serial, of several services parallel.
    pub change: tokio::sync::Mutex<()>,
    /// Fires at every change of the route; held requests look again.
    pub changed: Notify,
    pub counters: Counters,
    pub seen: ServiceSeen,
    pub rates: Rates,
    pub held: AtomicUsize,
    pub in_flight: AtomicUsize,
    /// The highest generation that is on disk; 0 for none.
    pub generation: AtomicU64,
    /// When the wake-up was last asked for.
    woken_at_ms: AtomicI64,
    turn: AtomicUsize,
    retired: Mutex<Vec<Arc<ReplicaLive>>>,
    hold: Mutex<Hold>,
}

#[derive(Debug, Default)]
struct Hold {
    since: Option<Instant>,
    last_gap_ms: Option<u64>,
}

impl ServiceLive {
    pub fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            active: ArcSwap::from_pointee(Active {
                route: None,
                replicas: Vec::new(),
                stable_count: 0,
                policy: Arc::new(Compiled::open()),
            }),
            change: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            counters: Counters::default(),
            seen: ServiceSeen::default(),
            rates: Rates::default(),
            held: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            woken_at_ms: AtomicI64::new(0),
            turn: AtomicUsize::new(0),
            retired: Mutex::default(),
            hold: Mutex::default(),
        }
    }

    pub fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes `route` the one that new requests see. When this returns, no new request reaches a replica outside of it.
    pub fn activate(&self, route: Option<Arc<ServiceRoute>>) {
        let before = self.active.load_full();
        let (replicas, stable_count) = match &route {
            Some(route) if route.state == RouteState::Serving => {
                let all = route.replicas.iter().chain(route.canary.iter().flat_map(|canary| &canary.replicas));
                (all.map(|replica| self.kept_or_new(&before, replica)).collect(), route.replicas.len())
            }
            _ => (Vec::new(), 0),
        };
        let policy = match (&route, &before.route) {
            (Some(route), Some(old)) if route.policy == old.policy && route.redirects == old.redirects => Arc::clone(&before.policy),
            (Some(route), _) => Arc::new(Compiled::new(route)),
            (None, _) => Arc::new(Compiled::open()),
        };
        self.note_hold(route.as_deref().map(|route| route.state));
        let after = Arc::new(Active { route, replicas, stable_count, policy });
        self.active.store(Arc::clone(&after));
        let gone = before.replicas.iter().filter(|old| !after.replicas.iter().any(|kept| Arc::ptr_eq(kept, old)));
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        for replica in gone {
            replica.retire();
            retired.push(Arc::clone(replica));
        }
        retired.retain(|replica| replica.in_flight() > 0);
        drop(retired);
        self.changed.notify_waiters();
    }

    /// Replicas that were taken out and still have requests in flight.
    pub fn retired(&self) -> Vec<Arc<ReplicaLive>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn forget_idle_retired(&self) {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).retain(|replica| replica.in_flight() > 0);
    }

    pub fn count_status(&self, status: http::StatusCode) {
        if let Some(counter) = self.counters.by_class.get(usize::from(status.as_u16() / 100)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn metrics(&self) -> ServiceMetrics {
        let releases = self.seen.read();
        let sum = |read: fn(&ReleaseMetrics) -> u64| releases.iter().map(read).sum();
        let class = |digit: usize| self.counters.by_class.get(digit).map_or(0, |counter| counter.load(Ordering::Relaxed));
        ServiceMetrics {
            requests: self.counters.requests.load(Ordering::Relaxed),
            status_1xx: class(1),
            status_2xx: class(2),
            status_3xx: class(3),
            status_4xx: class(4),
            status_5xx: class(5),
            ingress_5xx: self.counters.ingress_5xx.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed) as u64,
            held: self.held.load(Ordering::Relaxed) as u64,
            cut: self.counters.cut.load(Ordering::Relaxed),
            retries: self.counters.retries.load(Ordering::Relaxed),
            hold_gap_ms: self.hold.lock().unwrap_or_else(PoisonError::into_inner).last_gap_ms,
            last_request_ms: self.seen.last_request_ms.load(Ordering::Relaxed),
            tunnels: self.seen.tunnels.load(Ordering::Relaxed),
            bytes_in: sum(|release| release.bytes_in),
            bytes_out: sum(|release| release.bytes_out),
            log_lines_dropped: self.seen.log_budget.dropped.load(Ordering::Relaxed),
            releases,
        }
    }

    /// `true` for one caller in each `interval_ms`: it asks for the wake-up.
    pub fn is_wake_due(&self, now_ms: i64, interval_ms: i64) -> bool {
        let last = self.woken_at_ms.load(Ordering::Relaxed);
        let is_over = now_ms - last >= interval_ms || last > now_ms;
        is_over && self.woken_at_ms.compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn kept_or_new(&self, before: &Active, replica: &Replica) -> Arc<ReplicaLive> {
        let same = |live: &&Arc<ReplicaLive>| live.id == replica.id && live.address == replica.address && live.release == replica.release;
        let fresh = || Arc::new(ReplicaLive::new(replica, self.seen.release(replica.release)));
        before.replicas.iter().find(same).map_or_else(fresh, Arc::clone)
    }

    /// The gap counts from the first `holding` to the next other state.
    fn note_hold(&self, state: Option<RouteState>) {
        let mut hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        match (state, hold.since) {
            (Some(RouteState::Holding), None) => hold.since = Some(Instant::now()),
            (Some(RouteState::Holding | RouteState::Paused | RouteState::Asleep), Some(_)) | (_, None) => {}
            (_, Some(since)) => {
                hold.last_gap_ms = u64::try_from(since.elapsed().as_millis()).ok();
                hold.since = None;
            }
        }
    }
}

/// One request of a service, from its start to the end of its answer or tunnel.
#[derive(Debug)]
pub struct InFlight(Arc<ServiceLive>);

impl InFlight {
    /// `None`: the service has `limit` requests already.
    pub fn try_new(service: &Arc<ServiceLive>, limit: usize) -> Option<Self> {
        let before = service.in_flight.fetch_add(1, Ordering::Relaxed);
        let in_flight = Self(Arc::clone(service));
        (before < limit).then_some(in_flight)
    }

    pub fn service(&self) -> &Arc<ServiceLive> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Pick, Preference, health::DOWN_MS};

    fn route(generation: u64, replicas: &[u16]) -> Option<Arc<ServiceRoute>> {
        let mut route = ServiceRoute::new("svc", generation, RouteState::Serving);
        let replica = |port: &u16| Replica { id: format!("r{port}"), address: ([127, 0, 0, 1], *port).into(), release: 1 };
        route.replicas = replicas.iter().map(replica).collect();
        Some(Arc::new(route))
    }

    fn claimed(active: &Active, tried: &[Arc<ReplicaLive>], turn: usize) -> Claim {
        match active.pick(tried, turn, &Preference::default()) {
            Pick::Claimed(claim) => claim,
            other => panic!("no claim but {other:?}"),
        }
    }

    #[tokio::test]
    async fn no_request_begins_on_the_old_set_after_the_swap() {
        let service = ServiceLive::new("svc");
        service.activate(route(1, &[1]));
        let snapshot = service.active.load_full();
        let running = claimed(&snapshot, &[], 0);
        service.activate(route(2, &[2]));
        // A request that loaded the snapshot just before the swap asks now.
        assert!(matches!(snapshot.pick(&[], 0, &Preference::default()), Pick::Outdated));
        assert_eq!(claimed(&service.active.load(), &[], 0).replica().id, "r2");
        let old = Arc::clone(running.replica());
        assert_eq!((old.in_flight(), service.retired().len()), (1, 1), "a refused claim leaves no trace");
        let waiting = tokio::spawn(async move { old.wait_idle(Instant::now() + std::time::Duration::from_secs(5)).await });
        tokio::task::yield_now().await;
        drop(running);
        assert_eq!(waiting.await.ok(), Some(0));
    }

    #[tokio::test]
    async fn every_state_but_serving_takes_all_replicas_out() {
        for state in
            [RouteState::Deploying, RouteState::Crashed, RouteState::Stopped, RouteState::Holding, RouteState::Paused, RouteState::Asleep]
        {
            let service = ServiceLive::new("svc");
            service.activate(route(1, &[1]));
            let snapshot = service.active.load_full();
            let mut other = ServiceRoute::clone(snapshot.route.as_ref().expect("a route"));
            other.state = state;
            service.activate(Some(Arc::new(other)));
            assert!(matches!(snapshot.pick(&[], 0, &Preference::default()), Pick::Outdated), "{state:?}");
            assert!(service.active.load().replicas.is_empty(), "{state:?}");
        }
    }

    #[tokio::test]
    async fn a_visitor_gets_the_wished_release_and_replica_unless_they_are_down() {
        let service = ServiceLive::new("svc");
        let mut with_canary = ServiceRoute::clone(&route(1, &[1, 2]).expect("a route"));
        let replicas = vec![Replica { id: "c".into(), address: ([127, 0, 0, 1], 9).into(), release: 2 }];
        with_canary.canary = Some(crate::Canary { replicas, weight_permille: 0, visitor_cookie: None, visitors: Vec::new() });
        service.activate(Some(Arc::new(with_canary)));
        let active = service.active.load_full();
        let pick = |preference: &Preference| match active.pick(&[], 0, preference) {
            Pick::Claimed(claim) => claim.replica().id.clone(),
            other => panic!("no claim but {other:?}"),
        };
        assert_ne!(pick(&Preference::default()), "c");
        assert_eq!(pick(&Preference { wants_canary: true, token: None }), "c");
        let second = Preference { wants_canary: false, token: Some(active.replicas[1].token) };
        let _busy: Vec<_> = (0..5).map(|_| Claim::try_new(&active.replicas[1])).collect();
        assert_eq!(pick(&second), "r2", "sticky, however busy");
        active.replicas[1].health.mark_down();
        active.replicas[2].health.mark_down();
        assert_eq!(pick(&second), "r1");
        assert_eq!(pick(&Preference { wants_canary: true, token: None }), "r1", "the other release is better than a dead one");
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_busy_replica_is_picked_and_one_that_is_down_comes_last() {
        let service = ServiceLive::new("svc");
        service.activate(route(1, &[1, 2, 3]));
        let active = service.active.load_full();
        let three: Vec<Claim> = (0..3).map(|turn| claimed(&active, &[], turn)).collect();
        let mut ids: Vec<_> = three.iter().map(|claim| claim.replica().id.clone()).collect();
        ids.sort();
        assert_eq!(ids, ["r1", "r2", "r3"], "each got one");
        active.replicas[0].health.mark_down();
        drop(three);
        let busy = [claimed(&active, &[], 0), claimed(&active, &[], 0)];
        assert!(busy.iter().all(|claim| claim.replica().id != "r1"));
        let tried: Vec<_> = active.replicas[1..].to_vec();
        assert_eq!(claimed(&active, &tried, 0).replica().id, "r1", "better than none");
        assert!(matches!(active.pick(&active.replicas, 0, &Preference::default()), Pick::Exhausted));
        tokio::time::advance(std::time::Duration::from_millis(DOWN_MS + 1)).await;
        assert!(!active.replicas[0].health.is_down());
    }
}

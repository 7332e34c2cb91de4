//! The running side of a route: replicas with their claims, and the snapshot that requests read.
//!
//! A request claims a replica by adding one to its claim word. Taking a replica out sets the top bit of the same word, so
//! the two are ordered: after the bit is set no claim succeeds, and a drain that then sees zero knows that nothing comes.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    pool::Pool,
    routes::{Replica, RouteState, ServiceRoute},
    wire::ServiceMetrics,
};

/// After a failed connect a replica is passed over for this long, while there is another.
pub const DOWN_MS: u64 = 5_000;
const RETIRED: u64 = 1 << 63;

#[derive(Debug)]
pub struct ReplicaLive {
    pub id: String,
    pub address: SocketAddr,
    pub release: u64,
    pub pool: Pool,
    /// Fires when the grace of a drain is over: what still runs ends now.
    pub cut: CancellationToken,
    claims: AtomicU64,
    idle: Notify,
    born: Instant,
    down_until_ms: AtomicU64,
}

impl ReplicaLive {
    pub fn new(replica: &Replica) -> Self {
        Self {
            id: replica.id.clone(),
            address: replica.address,
            release: replica.release,
            pool: Pool::default(),
            cut: CancellationToken::new(),
            claims: AtomicU64::new(0),
            idle: Notify::new(),
            born: Instant::now(),
            down_until_ms: AtomicU64::new(0),
        }
    }

    pub fn in_flight(&self) -> u64 {
        self.claims.load(Ordering::Acquire) & !RETIRED
    }

    pub fn is_retired(&self) -> bool {
        self.claims.load(Ordering::Acquire) & RETIRED != 0
    }

    pub fn mark_down(&self) {
        self.down_until_ms.store(self.age_ms() + DOWN_MS, Ordering::Relaxed);
    }

    pub fn mark_up(&self) {
        self.down_until_ms.store(0, Ordering::Relaxed);
    }

    pub fn is_down(&self) -> bool {
        match self.down_until_ms.load(Ordering::Relaxed) {
            0 => false,
            until => self.age_ms() < until,
        }
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
        self.pool.clear();
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
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
    pub replicas: Vec<Arc<ReplicaLive>>,
}

#[derive(Debug)]
pub enum Pick {
    Claimed(Claim),
    /// The snapshot is out of date; load it again.
    Outdated,
    /// Every replica was tried already.
    Exhausted,
}

impl Active {
    /// The replica with the fewest requests in flight that was not tried yet; one that is down only if all others are.
    pub fn pick(&self, tried: &[Arc<ReplicaLive>], turn: usize) -> Pick {
        let count = self.replicas.len();
        let mut best: Option<(&Arc<ReplicaLive>, (bool, u64))> = None;
        for step in 0..count {
            let Some(replica) = self.replicas.get((turn + step) % count) else {
                continue;
            };
            if tried.iter().any(|earlier| Arc::ptr_eq(earlier, replica)) {
                continue;
            }
            let rank = (replica.is_down(), replica.in_flight());
            if best.is_none_or(|(_, least)| rank < least) {
                best = Some((replica, rank));
            }
        }
        match best {
            None => Pick::Exhausted,
            Some((replica, _)) => Claim::try_new(replica).map_or(Pick::Outdated, Pick::Claimed),
        }
    }
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
    pub held: AtomicUsize,
    pub in_flight: AtomicUsize,
    /// The highest generation that is on disk; 0 for none.
    pub generation: AtomicU64,
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
            active: ArcSwap::from_pointee(Active { route: None, replicas: Vec::new() }),
            change: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            counters: Counters::default(),
            held: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
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
        let replicas = match &route {
            Some(route) if route.state == RouteState::Serving => {
                route.replicas.iter().map(|replica| kept_or_new(&before, replica)).collect()
            }
            _ => Vec::new(),
        };
        self.note_hold(route.as_deref().map(|route| route.state));
        let after = Arc::new(Active { route, replicas });
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
        }
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

fn kept_or_new(before: &Active, replica: &Replica) -> Arc<ReplicaLive> {
    let same = |live: &&Arc<ReplicaLive>| live.id == replica.id && live.address == replica.address && live.release == replica.release;
    before.replicas.iter().find(same).map_or_else(|| Arc::new(ReplicaLive::new(replica)), Arc::clone)
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
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(generation: u64, replicas: &[u16]) -> Option<Arc<ServiceRoute>> {
        let mut route = ServiceRoute::new("svc", generation, RouteState::Serving);
        let replica = |port: &u16| Replica { id: format!("r{port}"), address: ([127, 0, 0, 1], *port).into(), release: 1 };
        route.replicas = replicas.iter().map(replica).collect();
        Some(Arc::new(route))
    }

    fn claimed(active: &Active, tried: &[Arc<ReplicaLive>], turn: usize) -> Claim {
        match active.pick(tried, turn) {
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
        assert!(matches!(snapshot.pick(&[], 0), Pick::Outdated));
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
            assert!(matches!(snapshot.pick(&[], 0), Pick::Outdated), "{state:?}");
            assert!(service.active.load().replicas.is_empty(), "{state:?}");
        }
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
        active.replicas[0].mark_down();
        drop(three);
        let busy = [claimed(&active, &[], 0), claimed(&active, &[], 0)];
        assert!(busy.iter().all(|claim| claim.replica().id != "r1"));
        let tried: Vec<_> = active.replicas[1..].to_vec();
        assert_eq!(claimed(&active, &tried, 0).replica().id, "r1", "better than none");
        assert!(matches!(active.pick(&active.replicas, 0), Pick::Exhausted));
        tokio::time::advance(std::time::Duration::from_millis(DOWN_MS + 1)).await;
        assert!(!active.replicas[0].is_down());
    }
}

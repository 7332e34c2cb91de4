//! Keeps what runs and what the ingress knows in step, without the control plane: after a crash, a restart of the engine, of
//! the agent or of the machine. Takes no input, may run twice, and repairs what a lost event missed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bollard::models::ContainerSummaryStateEnum;
use bollard::query_parameters::EventsOptionsBuilder;
use domain::Secret;
use domain::deployment::Failure;
use domain::id::ServiceId;
use futures_util::StreamExt;
use tokio::time::Instant;

use crate::engine::{FoundReplica, labels};
use crate::mask::Masker;
use crate::parts::{Addresses, Parts};
use crate::protocol::LogStream;
use crate::rollout::routes;
use crate::state::ServiceRecord;

/// Everything is compared this often, whatever the events say.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// Every so many rounds the firewall is checked and routes are sent again.
const ROUNDS_TO_DEEP: u32 = 6;
/// Restarts are counted over this time.
const CRASH_WINDOW: Duration = Duration::from_secs(600);
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Runs until the server stops.
pub async fn run(parts: Arc<Parts>) {
    let mut crashes = Crashes::default();
    let mut round: u32 = 0;
    loop {
        // The engine is new to us: nothing that was known of it counts.
        parts.networks.forget().await;
        if let Err(failure) = parts.firewall.verify().await {
            tracing::error!("{failure}");
        }
        all(&parts, true).await;
        tokio::select! {
            () = parts.stop.cancelled() => return,
            () = events(&parts, &mut crashes, &mut round) => {}
        }
        tokio::select! {
            () = parts.stop.cancelled() => return,
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
        }
    }
}

/// Ends when the engine's event stream ends.
async fn events(parts: &Arc<Parts>, crashes: &mut Crashes, round: &mut u32) {
    let Ok(docker) = parts.engine.docker().await else { return tokio::time::sleep(RECONNECT_PAUSE).await };
    let filters = HashMap::from([
        ("type", vec!["container".to_owned()]),
        ("label", vec![format!("{}={}", labels::INSTANCE, parts.engine.instance())]),
        ("event", vec!["start".to_owned(), "die".to_owned()]),
    ]);
    let options = EventsOptionsBuilder::new().filters(&filters).build();
    let mut stream = docker.events(Some(options)).boxed();
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = stream.next() => {
                let Some(Ok(event)) = event else { return };
                let actor = event.actor.unwrap_or_default();
                let attributes = actor.attributes.unwrap_or_default();
                let service = attributes.get(labels::SERVICE).and_then(|id| id.parse::<ServiceId>().ok());
                let (Some(service), Some(container)) = (service, actor.id) else { continue };
                let died = event.action.as_deref() == Some("die");
                if died && crashes.too_many(&container, restarts_max(parts, service, &container)) {
                    give_up(parts, service, &container).await;
                }
                one(parts, service).await;
            }
            _ = tick.tick() => {
                *round = round.wrapping_add(1);
                let deep = round.is_multiple_of(ROUNDS_TO_DEEP);
                if deep && let Err(failure) = parts.firewall.verify().await {
                    tracing::error!("{failure}");
                }
                all(parts, deep).await;
                crashes.forget_old();
            }
        }
    }
}

/// `None`: the container does not serve, so nobody restarts it.
fn restarts_max(parts: &Parts, service: ServiceId, container: &str) -> Option<u32> {
    let serving = parts.states.find(service)?.serving?;
    serving.has(container).then_some(serving.restarts_max)
}

#[derive(Default)]
struct Crashes(HashMap<String, VecDeque<Instant>>);

impl Crashes {
    fn too_many(&mut self, container: &str, restarts_max: Option<u32>) -> bool {
        let Some(restarts_max) = restarts_max else { return false };
        let times = self.0.entry(container.to_owned()).or_default();
        times.push_back(Instant::now());
        while times.front().is_some_and(|first| first.elapsed() > CRASH_WINDOW) {
            times.pop_front();
        }
        times.len() > usize::try_from(restarts_max).unwrap_or(usize::MAX)
    }

    fn forget_old(&mut self) {
        self.0.retain(|_, times| times.back().is_some_and(|last| last.elapsed() <= CRASH_WINDOW));
    }
}

async fn give_up(parts: &Arc<Parts>, service: ServiceId, container: &str) {
    let lock = parts.lock_of(service);
    let Ok(_alone) = lock.try_lock() else { return };
    let Some(mut record) = parts.states.find(service) else { return };
    if record.stopped {
        return;
    }
    let stopped = async {
        parts.engine.set_restart(container, false).await?;
        parts.engine.stop(container, 1).await?;
        Ok::<(), Failure>(())
    };
    if let Err(failure) = stopped.await {
        tracing::warn!(%service, container, "a replica that keeps crashing could not be stopped: {failure}");
        return;
    }
    let Some(serving) = record.serving.as_mut() else { return };
    let mut name = String::new();
    for replica in serving.replicas.iter_mut().filter(|replica| replica.container == container) {
        replica.crashed = true;
        replica.crashed_at = Some(parts.clock.now());
        name = format!("{}.{}", replica.process, replica.replica);
    }
    let restarts = serving.restarts_max;
    if let Err(failure) = parts.states.save(record) {
        tracing::warn!(%service, "{failure}");
    }
    parts.say(
        LogStream::Service(service),
        "seaway",
        format!(
            "{name} crashed more than {restarts} times within ten minutes and is left stopped. Restart or deploy the service to try again."
        ),
    );
}

/// Every service, from one listing.
async fn all(parts: &Arc<Parts>, deep: bool) {
    let records = parts.states.all();
    if records.is_empty() {
        return;
    }
    let Ok(listed) = parts.engine.list(&[]).await else { return };
    if deep {
        parts.routed.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
    let mut by_service: BTreeMap<ServiceId, Vec<FoundReplica>> = BTreeMap::new();
    for replica in listed.into_iter().filter_map(|found| parts.engine.as_replica(found)) {
        by_service.entry(replica.labels.service).or_default().push(replica);
    }
    for record in records {
        let lock = parts.lock_of(record.service);
        let Ok(_alone) = lock.try_lock() else { continue };
        let found = by_service.remove(&record.service).unwrap_or_default();
        repair(parts, record.service, found).await;
    }
}

/// One service. One that is being changed is left to whoever changes it.
pub async fn one(parts: &Arc<Parts>, service: ServiceId) {
    let lock = parts.lock_of(service);
    let Ok(_alone) = lock.try_lock() else { return };
    let Ok(found) = parts.engine.replicas(service).await else { return };
    repair(parts, service, found).await;
}

async fn repair(parts: &Arc<Parts>, service: ServiceId, found: Vec<FoundReplica>) {
    // Read again under the lock.
    let Some(record) = parts.states.find(service) else { return };
    let Some(serving) = record.serving.clone() else { return };
    for replica in found.iter().filter(|replica| is_running(replica) && serving.has(&replica.id)) {
        follow(parts, &record, replica).await;
    }
    if record.pending.is_some() || serving.hosts.is_empty() {
        return;
    }
    let addresses: Addresses =
        found.iter().filter(|replica| is_running(replica)).filter_map(|replica| Some((replica.id.clone(), replica.address?))).collect();
    let route = routes::route(&record, &serving, &addresses);
    if let Err(error) = parts.put_route(service, route).await {
        tracing::warn!(%service, "the routes of {service} could not be repaired: {error}");
    }
}

fn is_running(replica: &FoundReplica) -> bool {
    matches!(replica.state, ContainerSummaryStateEnum::RUNNING)
}

/// Takes up the output of a container whose collector is gone, with the masks that its own variables give.
async fn follow(parts: &Arc<Parts>, record: &ServiceRecord, replica: &FoundReplica) {
    let known = parts.followed.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&replica.id);
    if known {
        return;
    }
    let names = record.serving.as_ref().map(|serving| serving.masked_variables.clone()).unwrap_or_default();
    let Ok(Some(inspected)) = parts.engine.find(&replica.id).await else { return };
    let variables = inspected.config.and_then(|config| config.env).unwrap_or_default();
    let values: Vec<Secret<String>> = variables
        .iter()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| names.iter().any(|masked| masked == name))
        .map(|(_, value)| Secret::new(value.to_owned()))
        .collect();
    parts.follow_replica(&replica.id, record.service, &replica.labels.name(), &Arc::new(Masker::new(&values)));
}

//! The acting half of a rollout: does what the plan says, records every step, undoes what failed.
//!
//! Three ends: it went through; it failed, and the new replicas are gone and the old release serves; or it was interrupted
//! (the journal is lost, the process dies), and whoever applies the same order again goes on from what is there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::deployment::{Cause, Failure, Step};
use domain::service::{Probe, WEB};
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use ingress::RouteState;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::health::{self, Candidate};
use super::plan::{self, Action, Existing, Order, Slot, Target};
use super::prepare::{self, Prepared};
use super::routes;
use crate::engine::FoundReplica;
use crate::mask::Masker;
use crate::parts::Parts;
use crate::policy::Approved;
use crate::protocol::{Applied, ApplyOrder, Desired, DesiredMount, Journal, LogStream};
use crate::state::{ServiceRecord, Serving, ServingReplica};

/// Containers that are made or started at the same time.
const PARALLEL_MAX: usize = 4;
/// Lines of a failed replica that stand in the failure.
pub const LOG_TAIL_LINES: u32 = 50;
pub const RESTARTS_MAX_DEFAULT: u32 = 10;
/// The old release gets this long to come back after a failed hand-over.
const COME_BACK_WAIT: Duration = Duration::from_secs(10);

/// Why it did not go through.
enum Broken {
    /// Undo.
    Failed(Failure),
    /// Leave everything as it is: somebody else goes on.
    Interrupted(Failure),
}

type Outcome<T> = Result<T, Broken>;

fn failed(failure: Failure) -> Broken {
    Broken::Failed(failure)
}

pub async fn apply(parts: &Arc<Parts>, order: ApplyOrder, journal: &dyn Journal, cancel: CancellationToken) -> Result<Applied, Failure> {
    let lock = parts.lock_of(order.desired.service);
    let _alone = lock.lock().await;
    let began = Instant::now();
    let desired = &order.desired;
    let mut record = parts.states.find(desired.service).unwrap_or(ServiceRecord {
        service: desired.service,
        environment: desired.environment,
        fence: 0,
        serving: None,
        pending: None,
        stopped: false,
    });
    if order.fence < record.fence {
        return Err(Failure::new(
            Cause::Internal,
            Step::Create,
            format!("A newer order of this service (fence {}) was accepted before this one (fence {}).", record.fence, order.fence),
            "Nothing to do: the newer deployment goes on.",
        ));
    }
    let prepared = prepare::prepare(parts, desired, order.operation).await?;
    record.fence = order.fence;
    record.environment = desired.environment;
    record.pending = Some(order.operation);
    parts.states.save(record.clone())?;

    let mut rollout = Rollout {
        parts,
        journal,
        cancel,
        log: LogStream::Deployment(order.operation),
        masker: Arc::new(Masker::new(&desired.masks)),
        prepared,
        began,
        containers: BTreeMap::new(),
        addresses: BTreeMap::new(),
        touched: Vec::new(),
        handed_over: None,
        held_at: None,
        gap: None,
        record,
        order: &order,
    };
    match rollout.go().await {
        Ok(applied) => Ok(applied),
        Err(Broken::Interrupted(failure)) => Err(failure),
        Err(Broken::Failed(failure)) => {
            rollout.undo(&failure).await;
            Err(failure)
        }
    }
}

struct Rollout<'a> {
    parts: &'a Arc<Parts>,
    order: &'a ApplyOrder,
    journal: &'a dyn Journal,
    cancel: CancellationToken,
    log: LogStream,
    masker: Arc<Masker>,
    prepared: Prepared,
    record: ServiceRecord,
    began: Instant,
    /// Every filled slot.
    containers: BTreeMap<Slot, String>,
    addresses: BTreeMap<String, IpAddr>,
    /// Containers that this rollout made or started, and whether it made them.
    touched: Vec<(String, bool)>,
    /// Old containers that were stopped first.
    handed_over: Option<Vec<String>>,
    held_at: Option<Instant>,
    gap: Option<Duration>,
}

impl Rollout<'_> {
    fn desired(&self) -> &Desired {
        &self.order.desired
    }

    fn say(&self, text: impl Into<String>) {
        self.parts.say(self.log, "rollout", text);
    }

    async fn before(&self, step: Step) -> Outcome<()> {
        self.journal.before(step).await.map_err(Broken::Interrupted)
    }

    async fn after(&self, step: Step, note: impl Into<Option<String>>) -> Outcome<()> {
        self.journal.after(step, note.into()).await.map_err(Broken::Interrupted)
    }

    fn not_canceled(&self, step: Step) -> Outcome<()> {
        if self.cancel.is_cancelled() { Err(failed(health::canceled(step))) } else { Ok(()) }
    }

    async fn go(&mut self) -> Outcome<Applied> {
        let found = self.parts.engine.replicas(self.desired().service).await.map_err(failed)?;
        let plan = plan::plan(&self.plan_order(), &self.existing(&found));
        for (slot, id) in &plan.kept {
            self.containers.insert(slot.clone(), id.clone());
            let kept = found.iter().find(|replica| replica.id == *id);
            self.addresses.extend(kept.and_then(|replica| replica.address).map(|address| (id.clone(), address)));
        }
        let names: BTreeMap<String, String> = found.iter().map(|replica| (replica.id.clone(), replica.labels.name())).collect();
        let made_by_us: Vec<&String> =
            found.iter().filter(|replica| replica.labels.deployment == self.order.operation).map(|replica| &replica.id).collect();
        // What an interrupted attempt of this operation made is undone with the rest, unless it serves already.
        let serving = self.record.serving.clone();
        self.touched = made_by_us
            .into_iter()
            .filter(|id| !serving.as_ref().is_some_and(|serving| serving.has(id)))
            .map(|id| (id.clone(), true))
            .collect();
        let started_before = self.started_before();
        let (mut requests_cut, mut waited) = (started_before.map_or(0, |serving| serving.requests_cut), Vec::new());
        let mut awaited = false;
        for action in plan.actions {
            match action {
                Action::Create(slots) => self.create(slots).await?,
                Action::HandOver(old) => requests_cut += self.hand_over(old, &names).await?,
                Action::Start(slots) => waited.push((Instant::now(), self.start(slots, !awaited).await?)),
                Action::Await(slots) => {
                    let begun = waited.last().map_or_else(Instant::now, |(begun, ())| *begun);
                    self.await_healthy(slots, begun, !awaited).await?;
                    awaited = true;
                }
                Action::Switch => self.switch(awaited).await?,
                Action::Drain(old) => requests_cut += self.drain(old).await?,
                Action::Retire(old) => self.retire(old, &names).await?,
            }
        }
        self.finish(requests_cut).await
    }

    fn started_before(&self) -> Option<&Serving> {
        self.record.serving.as_ref().filter(|serving| serving.operation == self.order.operation)
    }

    fn plan_order(&self) -> Order {
        let desired = self.desired();
        let targets = desired.processes.iter().map(|process| Target {
            process: process.name.clone(),
            replicas: process.replicas,
            fingerprint: self.prepared.fingerprints.get(&process.name).cloned().unwrap_or_default(),
        });
        Order {
            operation: self.order.operation,
            replace: self.order.replace,
            single_writer: desired.mounts.iter().any(|mount| matches!(mount, DesiredMount::Volume { read_only: false, .. })),
            targets: targets.collect(),
        }
    }

    fn existing(&self, found: &[FoundReplica]) -> Vec<Existing> {
        found
            .iter()
            .map(|replica| Existing {
                id: replica.id.clone(),
                process: replica.labels.process.clone(),
                replica: replica.labels.replica,
                fingerprint: replica.labels.fingerprint.clone(),
                operation: replica.labels.deployment,
                running: matches!(replica.state, bollard::models::ContainerSummaryStateEnum::RUNNING),
                confirmed: self.record.serving.as_ref().is_some_and(|serving| serving.has(&replica.id)),
            })
            .collect()
    }

    async fn create(&mut self, slots: Vec<Slot>) -> Outcome<()> {
        self.not_canceled(Step::Create)?;
        self.before(Step::Create).await?;
        let count = slots.len();
        self.say(format!("Making {count} container{} of v{}", if count == 1 { "" } else { "s" }, self.desired().version));
        let first = self.record.serving.is_none() && !self.desired().hosts.is_empty();
        let engine = &self.parts.engine;
        let specs: Vec<(Slot, Approved)> =
            slots.into_iter().filter_map(|slot| self.prepared.specs.get(&slot).cloned().map(|spec| (slot, spec))).collect();
        let creation = stream::iter(specs)
            .map(|(slot, spec)| async move { engine.create(&spec).await.map(|id| (slot, id)) })
            .buffer_unordered(PARALLEL_MAX)
            .collect::<Vec<_>>();
        let announce = async {
            if first {
                let serving = self.serving(0);
                let route = routes::with_state(&self.record, &serving, RouteState::Deploying);
                self.parts.put_route(self.record.service, route).await.map_err(|error| routes::failure(Step::Create, &error))?;
            }
            Ok::<(), Failure>(())
        };
        let (created, announced) = tokio::join!(creation, announce);
        let mut problem = announced.err();
        for result in created {
            match result {
                Ok((slot, id)) => {
                    self.touched.push((id.clone(), true));
                    self.containers.insert(slot, id);
                }
                Err(failure) => problem = problem.or(Some(failure)),
            }
        }
        match problem {
            Some(failure) => Err(failed(failure)),
            None => self.after(Step::Create, format!("{count} made")).await,
        }
    }

    /// Holds requests, lets those in flight finish, stops the old replicas. They stay until the new ones are healthy.
    async fn hand_over(&mut self, old: Vec<String>, names: &BTreeMap<String, String>) -> Outcome<u64> {
        self.not_canceled(Step::Drain)?;
        self.before(Step::Drain).await?;
        // From here on an undo has to bring the old ones back.
        self.handed_over = Some(old.clone());
        let mut cut = 0;
        if let Some(serving) = self.record.serving.clone().filter(|serving| !serving.hosts.is_empty()) {
            self.say("Holding requests while the volume changes hands");
            let route = routes::with_state(&self.record, &serving, RouteState::Holding);
            self.parts.put_route(self.record.service, route).await.map_err(|error| failed(routes::failure(Step::Drain, &error)))?;
            self.held_at = Some(Instant::now());
            cut = self.drain_now(&old, serving.drain_seconds).await;
        }
        self.after(Step::Drain, format!("{cut} requests cut")).await?;
        self.before(Step::Stop).await?;
        let grace = self.record.serving.as_ref().map_or(self.desired().stop_grace_seconds, |serving| serving.stop_grace_seconds);
        self.held_at.get_or_insert_with(Instant::now);
        self.stop_all(&old, grace, names).await.map_err(failed)?;
        self.after(Step::Stop, None).await?;
        Ok(cut)
    }

    async fn start(&mut self, slots: Vec<Slot>, journaled: bool) -> Outcome<()> {
        self.not_canceled(Step::Start)?;
        if journaled {
            self.before(Step::Start).await?;
        }
        let ids: Vec<(Slot, String)> =
            slots.into_iter().filter_map(|slot| self.containers.get(&slot).cloned().map(|id| (slot, id))).collect();
        for (_, id) in &ids {
            if !self.touched.iter().any(|(touched, _)| touched == id) {
                self.touched.push((id.clone(), false));
            }
        }
        let engine = &self.parts.engine;
        stream::iter(ids.clone())
            .map(|(_, id)| async move { engine.start(&id).await })
            .buffer_unordered(PARALLEL_MAX)
            .try_collect::<Vec<()>>()
            .await
            .map_err(failed)?;
        for (slot, id) in &ids {
            let name = format!("{}.{}", slot.process, slot.replica);
            self.parts.follow_replica(id, self.record.service, &name, &self.masker);
        }
        if journaled { self.after(Step::Start, None).await } else { Ok(()) }
    }

    async fn await_healthy(&mut self, slots: Vec<Slot>, started: Instant, journaled: bool) -> Outcome<()> {
        if journaled {
            self.before(Step::Health).await?;
        }
        let waits = slots.iter().filter_map(|slot| self.containers.get(slot).map(|id| self.one_healthy(slot, id, started)));
        let healthy = try_join_all(waits).await.map_err(failed)?;
        let after = started.elapsed();
        for (id, address) in healthy {
            self.addresses.insert(id, address);
        }
        let names: Vec<String> = slots.iter().map(|slot| format!("{}.{}", slot.process, slot.replica)).collect();
        let note = format!("{} healthy after {} ms", names.join(", "), after.as_millis());
        self.say(note.clone());
        if journaled { self.after(Step::Health, note).await } else { Ok(()) }
    }

    async fn one_healthy(&self, slot: &Slot, id: &str, started: Instant) -> Result<(String, IpAddr), Failure> {
        let desired = self.desired();
        let name = format!("{}.{}", slot.process, slot.replica);
        let inspected = self.parts.engine.find(id).await?;
        let state = inspected.as_ref().and_then(|found| found.state.clone()).unwrap_or_default();
        let networks = inspected.and_then(|found| found.network_settings).and_then(|settings| settings.networks).unwrap_or_default();
        let address = networks.into_values().find_map(|network| network.ip_address.and_then(|text| text.parse().ok()));
        let candidate = Candidate {
            container: id,
            name: &name,
            process: &slot.process,
            // Without an address it has ended already, which the wait says with its exit code.
            address: address.unwrap_or(IpAddr::from([0, 0, 0, 0])),
            pid: state.pid.unwrap_or(0),
            port: desired.port,
            host: desired.hosts.first().map(String::as_str),
            started,
        };
        let said = |text: String| self.say(text);
        match health::wait(&self.parts.engine, &candidate, &desired.health, &self.cancel, &said).await {
            Ok(()) => Ok((id.to_owned(), candidate.address)),
            Err(unhealthy) => {
                let failure = health::explain(&name, desired.port, &desired.health, started.elapsed(), unhealthy);
                let tail = self.parts.engine.log_tail(id, LOG_TAIL_LINES).await;
                let masked = tail.iter().map(|line| self.masker.mask(line).into_owned()).collect();
                Err(failure.with_log_tail(masked))
            }
        }
    }

    fn serving(&self, requests_cut: u64) -> Serving {
        let desired = self.desired();
        let masked = desired.masks.iter().map(|mask| mask.reveal().as_str()).collect::<std::collections::BTreeSet<&str>>();
        let healthy_after = self.started_before().map(|serving| serving.healthy_after_ms);
        let gap = self.started_before().and_then(|serving| serving.gap_ms);
        Serving {
            operation: self.order.operation,
            release: desired.release,
            version: desired.version,
            image: desired.image.clone(),
            port: desired.port,
            hosts: desired.hosts.clone(),
            request_body_bytes_max: desired.request_body_bytes_max,
            request_timeout_seconds: desired.request_timeout_seconds,
            drain_seconds: desired.drain_seconds,
            stop_grace_seconds: desired.stop_grace_seconds,
            restarts_max: desired.engine.restarts_max.unwrap_or(RESTARTS_MAX_DEFAULT),
            replicas: self
                .containers
                .iter()
                .map(|(slot, id)| ServingReplica {
                    container: id.clone(),
                    process: slot.process.clone(),
                    replica: slot.replica,
                    crashed: false,
                    crashed_at: None,
                })
                .collect(),
            masked_variables: desired
                .variables
                .iter()
                .filter(|(_, value)| masked.contains(value.reveal().as_str()))
                .map(|(name, _)| name.clone())
                .collect(),
            gap_ms: self.gap.map(|gap| u64::try_from(gap.as_millis()).unwrap_or(u64::MAX)).or(gap),
            healthy_after_ms: healthy_after.unwrap_or_else(|| u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)),
            requests_cut,
        }
    }

    async fn switch(&mut self, anything_new: bool) -> Outcome<()> {
        self.not_canceled(Step::Switch)?;
        self.before(Step::Switch).await?;
        let previous = self.record.serving.clone();
        let was_stopped = self.record.stopped;
        let mut record = self.record.clone();
        record.stopped = false;
        let serving = self.serving(0);
        if serving.hosts.is_empty() {
            if previous.as_ref().is_some_and(|before| !before.hosts.is_empty()) {
                self.parts
                    .delete_route(record.service, record.fence)
                    .await
                    .map_err(|error| failed(routes::failure(Step::Switch, &error)))?;
            }
        } else {
            let route = routes::route(&record, &serving, &self.addresses);
            let is_serving = route.state == RouteState::Serving;
            self.parts.put_route_always(record.service, route).await.map_err(|error| failed(routes::failure(Step::Switch, &error)))?;
            self.gap = self.held_at.map(|held| held.elapsed());
            if is_serving && anything_new {
                self.look_through(&serving).await?;
            }
        }
        // Serving from here on: what goes wrong later ends no deployment.
        record.serving = Some(self.serving(0));
        if let Err(failure) = self.parts.states.save(record.clone()) {
            self.record.stopped = was_stopped;
            return Err(failed(failure));
        }
        self.record = record;
        self.say(format!("v{} takes the traffic, {} ms after the order", self.desired().version, self.began.elapsed().as_millis()));
        self.after(Step::Switch, None).await?;
        // Only now may the engine restart them by itself: before, a crash had to be seen.
        let engine = &self.parts.engine;
        for result in join_all(self.touched.iter().map(|(id, _)| engine.set_restart(id, true))).await {
            if let Err(failure) = result {
                self.say(format!("Warning: {failure}"));
            }
        }
        Ok(())
    }

    async fn look_through(&self, serving: &Serving) -> Outcome<()> {
        let Some(host) = serving.hosts.first() else { return Ok(()) };
        let path = match &self.desired().health.probe {
            Probe::Http { path } => path.as_str(),
            _ => "/",
        };
        routes::seen_through(self.parts.ingress_listen, host, path).await.map_err(|reason| {
            failed(Failure::new(
                Cause::Ingress,
                Step::Switch,
                format!("The new replicas are healthy, but not through the ingress: {reason}."),
                "Check the ingress on the server (`seaway doctor`), then deploy again.",
            ))
        })
    }

    async fn drain(&mut self, old: Vec<String>) -> Outcome<u64> {
        self.before(Step::Drain).await?;
        let cut = if self.desired().hosts.is_empty() { 0 } else { self.drain_now(&old, self.desired().drain_seconds).await };
        self.after(Step::Drain, format!("{cut} requests cut")).await?;
        Ok(cut)
    }

    async fn drain_now(&self, old: &[String], grace_seconds: u32) -> u64 {
        let grace = Duration::from_secs(u64::from(grace_seconds));
        match self.parts.ingress.drain(&self.record.service.to_string(), old, Some(grace)).await {
            Ok(drained) => {
                if drained.cut > 0 {
                    self.say(format!("{} requests of the old release were cut after {grace_seconds} s", drained.cut));
                }
                drained.cut
            }
            Err(error) => {
                self.say(format!("Warning: the ingress did not say when the old release was drained: {error}"));
                0
            }
        }
    }

    async fn retire(&mut self, old: Vec<String>, names: &BTreeMap<String, String>) -> Outcome<()> {
        self.before(Step::Stop).await?;
        let grace = self.desired().stop_grace_seconds;
        if let Err(failure) = self.stop_all(&old, grace, names).await {
            self.say(format!("Warning: {failure}"));
        }
        for id in &old {
            if let Err(failure) = self.parts.engine.remove(id).await {
                self.say(format!("Warning: {failure} The sweep tries again."));
            }
        }
        self.after(Step::Stop, format!("{} stopped", old.len())).await
    }

    async fn stop_all(&self, ids: &[String], grace_seconds: u32, names: &BTreeMap<String, String>) -> Result<(), Failure> {
        let engine = &self.parts.engine;
        let stops = ids.iter().map(|id| async move { (id, engine.stop(id, grace_seconds).await) });
        for (id, result) in join_all(stops).await {
            let stopped = result?;
            if stopped.killed {
                let name = names.get(id).map_or("a replica", String::as_str);
                self.say(format!("Old {name} ignored its stop signal and was killed after {grace_seconds} s"));
            }
        }
        Ok(())
    }

    async fn finish(&mut self, requests_cut: u64) -> Outcome<Applied> {
        let mut record = self.record.clone();
        record.pending = None;
        if let Some(serving) = record.serving.as_mut() {
            serving.requests_cut = requests_cut;
        }
        self.parts.states.save(record.clone()).map_err(Broken::Interrupted)?;
        self.record = record;
        prepare::forget_files(&self.parts.files_dir(self.record.service), &self.prepared.sources);
        let replicas = crate::replicas::list(self.parts, self.record.service).await.map_err(Broken::Interrupted)?;
        let serving = self.record.serving.as_ref();
        Ok(Applied {
            replicas,
            requests_cut,
            gap_ms: serving.and_then(|serving| serving.gap_ms),
            healthy_after_ms: serving.map_or(0, |serving| serving.healthy_after_ms),
        })
    }

    /// Puts everything back as it was before the order. Every part is tried, whatever the others do.
    async fn undo(&mut self, failure: &Failure) {
        self.say(failure.message.clone());
        let engine = &self.parts.engine;
        for (id, made) in &self.touched {
            let result = if *made { engine.remove(id).await } else { engine.stop(id, self.desired().stop_grace_seconds).await.map(drop) };
            if let Err(failure) = result {
                self.say(format!("Warning: {failure} The sweep tries again."));
            }
        }
        if let Some(old) = self.handed_over.take() {
            for id in &old {
                if let Err(failure) = engine.start(id).await {
                    self.say(format!("Warning: the previous release did not start again: {failure}"));
                }
            }
            self.await_old(&old).await;
        }
        self.restore_routes().await;
        self.record.pending = None;
        if let Err(failure) = self.parts.states.save(self.record.clone()) {
            tracing::warn!(service = %self.record.service, "the record of {} could not be saved: {failure}", self.record.service);
        }
        match &self.record.serving {
            Some(serving) if !self.record.stopped => self.say(format!("v{} serves on", serving.version)),
            _ => self.say("Nothing serves: there is no earlier release that runs"),
        }
    }

    async fn await_old(&self, old: &[String]) {
        let Some(serving) = &self.record.serving else { return };
        let deadline = Instant::now() + COME_BACK_WAIT;
        while Instant::now() < deadline {
            let Ok(found) = self.parts.engine.replicas(self.record.service).await else { return };
            let addresses: Vec<IpAddr> = found
                .iter()
                .filter(|replica| old.contains(&replica.id) && replica.labels.process == WEB)
                .filter_map(|replica| replica.address)
                .collect();
            let open = join_all(addresses.iter().map(|address| tokio::net::TcpStream::connect((*address, serving.port)))).await;
            if !open.is_empty() && open.iter().all(Result::is_ok) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn restore_routes(&self) {
        let restored = match &self.record.serving {
            Some(serving) if serving.hosts.is_empty() => Ok(()),
            Some(serving) => match self.parts.engine.replicas(self.record.service).await {
                Ok(found) => {
                    let addresses = found.into_iter().filter_map(|replica| Some((replica.id, replica.address?))).collect();
                    self.parts.put_route(self.record.service, routes::route(&self.record, serving, &addresses)).await
                }
                Err(failure) => {
                    self.say(format!("Warning: {failure}"));
                    return;
                }
            },
            None if self.desired().hosts.is_empty() => Ok(()),
            None => {
                let route = routes::with_state(&self.record, &self.serving(0), RouteState::Crashed);
                self.parts.put_route(self.record.service, route).await
            }
        };
        if let Err(error) = restored {
            self.say(format!("Warning: the routes could not be put back: {error}. The reconciler tries again."));
        }
    }
}

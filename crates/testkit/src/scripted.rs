//! A server side in memory that does what the protocol promises and fails as told: steps go through the journal, a repeated
//! order goes on or answers as at first, an order with a lower fence is refused, a cancelled one leaves nothing behind.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deployer::protocol::{
    Applied, ApplyOrder, BuildOrder, Built, CrashedService, Desired, ExecInput, ExecOrder, ExecSession, Intended, Journal, LogEvent,
    LogPage, LogQuery, LogStream, Removal, RemovalReport, ReplicaState, ReplicaStatus, RunEnd, RunOrder, Server, ServerHealth, SweepMode,
    SweepReport,
};
use domain::deployment::{Cause, Failure, Step};
use domain::id::{DeploymentId, RunId, ServiceId};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::scripted_logs::ScriptedLogs;

/// The steps of a rollout, in order.
const ROLLOUT: [Step; 6] = [Step::Create, Step::Start, Step::Health, Step::Switch, Step::Drain, Step::Stop];

#[derive(Default)]
pub struct ScriptedServer {
    state: Mutex<State>,
    changed: Notify,
    logs: Arc<ScriptedLogs>,
}

#[derive(Default)]
struct State {
    calls: Vec<String>,
    builds: VecDeque<Result<Built, Failure>>,
    applies: VecDeque<Result<(), Failure>>,
    runs: VecDeque<Result<RunEnd, Failure>>,
    /// Fails once, at the step.
    failures: HashMap<Step, Failure>,
    /// Nothing goes past these until they are released.
    held: HashSet<Step>,
    /// Who stands at a held step.
    waiting: HashSet<Step>,
    numbers: usize,
    built: HashMap<DeploymentId, Built>,
    applied: HashMap<DeploymentId, Applied>,
    ended: HashMap<RunId, RunEnd>,
    fences: HashMap<ServiceId, u64>,
    started: HashMap<ServiceId, u64>,
    serving: HashMap<ServiceId, Desired>,
    switches: HashMap<ServiceId, Vec<u64>>,
    replicas: HashMap<ServiceId, Vec<ReplicaStatus>>,
    stopped: HashSet<ServiceId>,
    left: Vec<String>,
    intended: Option<Intended>,
    terminals_held: bool,
    logs_kept: bool,
    crashed: Vec<CrashedService>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScriptedServer {
    /// What was asked, in order: `build svc_…`, `apply svc_… v2`, `stop svc_…`.
    pub fn calls(&self) -> Vec<String> {
        lock(&self.state).calls.clone()
    }

    /// How many calls begin like this.
    pub fn count(&self, prefix: &str) -> usize {
        lock(&self.state).calls.iter().filter(|call| call.starts_with(prefix)).count()
    }

    /// The next build ends like this.
    pub fn next_build(&self, outcome: Result<Built, Failure>) {
        lock(&self.state).builds.push_back(outcome);
    }

    /// The next apply ends like this.
    pub fn next_apply(&self, outcome: Result<(), Failure>) {
        lock(&self.state).applies.push_back(outcome);
    }

    /// The next run (release command, one-off) ends like this.
    pub fn next_run(&self, outcome: Result<RunEnd, Failure>) {
        lock(&self.state).runs.push_back(outcome);
    }

    /// The next order that comes to this step fails there.
    pub fn fail_at(&self, step: Step, cause: Cause) {
        lock(&self.state).failures.insert(step, Self::failure(cause, step));
    }

    /// Whoever comes to this step waits there until [`ScriptedServer::release`] or until cancelled.
    pub fn hold(&self, step: Step) {
        lock(&self.state).held.insert(step);
    }

    pub fn release(&self, step: Step) {
        lock(&self.state).held.remove(&step);
        self.changed.notify_waiters();
    }

    /// Whether an order waits at the held step.
    pub fn waits_at(&self, step: Step) -> bool {
        lock(&self.state).waiting.contains(&step)
    }

    /// What serves the service.
    pub fn serving(&self, service: ServiceId) -> Option<Desired> {
        lock(&self.state).serving.get(&service).cloned()
    }

    /// Versions that the routes were switched to, in order.
    pub fn switches(&self, service: ServiceId) -> Vec<u64> {
        lock(&self.state).switches.get(&service).cloned().unwrap_or_default()
    }

    /// Containers of an order under way or left behind that do not serve.
    pub fn left_behind(&self, service: ServiceId) -> Option<u64> {
        lock(&self.state).started.get(&service).copied()
    }

    /// What serves is lost, as after a disk that was replaced.
    pub fn lose(&self, service: ServiceId) {
        let mut state = lock(&self.state);
        state.serving.remove(&service);
        state.replicas.remove(&service);
    }

    /// Removals answer that this is still there.
    pub fn leave(&self, what: &[&str]) {
        lock(&self.state).left = what.iter().map(|name| (*name).to_owned()).collect();
    }

    /// What the last sweep was told.
    pub fn intended(&self) -> Option<Intended> {
        lock(&self.state).intended.clone()
    }

    /// Every sweep reports these as given up after too many restarts.
    pub fn crash(&self, crashed: Vec<CrashedService>) {
        lock(&self.state).crashed = crashed;
    }

    /// Whether logs cannot be purged.
    pub fn keep_logs(&self, kept: bool) {
        lock(&self.state).logs_kept = kept;
    }

    /// Terminals stay open until the other side ends them.
    pub fn hold_terminals(&self) {
        lock(&self.state).terminals_held = true;
    }

    pub fn logs(&self) -> &ScriptedLogs {
        &self.logs
    }

    /// A failure for the methods above.
    pub fn failure(cause: Cause, step: Step) -> Failure {
        Failure::new(cause, step, "scripted to fail", "nothing: it is a test")
    }

    fn note(&self, call: String) {
        lock(&self.state).calls.push(call);
    }

    /// Passes a step, waits at it while it is held, or fails at it.
    async fn pass(&self, step: Step, cancel: &CancellationToken) -> Result<(), Failure> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = lock(&self.state);
                if cancel.is_cancelled() && step <= Step::Switch {
                    state.waiting.remove(&step);
                    return Err(Failure::new(Cause::Internal, step, "cancelled", "nothing"));
                }
                if !state.held.contains(&step) {
                    state.waiting.remove(&step);
                    return state.failures.remove(&step).map_or(Ok(()), Err);
                }
                state.waiting.insert(step);
            }
            tokio::select! {
                () = changed => {}
                () = cancel.cancelled(), if step <= Step::Switch => {}
            }
        }
    }

    async fn roll_out(&self, order: &ApplyOrder, journal: &dyn Journal, cancel: &CancellationToken) -> Result<Applied, Failure> {
        let desired = &order.desired;
        let replicas = replicas_of(desired);
        for step in ROLLOUT {
            journal.before(step).await?;
            self.pass(step, cancel).await?;
            {
                let mut state = lock(&self.state);
                match step {
                    Step::Create => {
                        state.started.insert(desired.service, desired.version);
                    }
                    Step::Switch => {
                        let again = state.serving.get(&desired.service).is_some_and(|serving| serving.release == desired.release);
                        state.serving.insert(desired.service, desired.clone());
                        state.replicas.insert(desired.service, replicas.clone());
                        state.started.remove(&desired.service);
                        state.stopped.remove(&desired.service);
                        if !again {
                            state.switches.entry(desired.service).or_default().push(desired.version);
                        }
                    }
                    _ => {}
                }
            }
            journal.after(step, None).await?;
        }
        Ok(Applied { replicas, requests_cut: 0, gap_ms: None, healthy_after_ms: 5 })
    }

    /// The order is over: what it started goes. A worker that died takes nothing away.
    fn undo(&self, service: ServiceId, failure: &Failure) {
        if failure.cause != Cause::WorkerLost {
            lock(&self.state).started.remove(&service);
        }
    }
}

fn replicas_of(desired: &Desired) -> Vec<ReplicaStatus> {
    let mut replicas = Vec::new();
    for process in &desired.processes {
        for number in 1..=process.replicas {
            replicas.push(ReplicaStatus {
                id: format!("{}-{}-{number}", desired.service, process.name),
                process: process.name.clone(),
                name: format!("{}.{number}", process.name),
                release: desired.version,
                state: ReplicaState::Running,
                address: None,
                started_at: None,
                restarts: 0,
                exit_code: None,
                out_of_memory: false,
            });
        }
    }
    replicas
}

/// What a build makes when nothing else is queued.
pub fn built(number: usize) -> Built {
    Built {
        image: format!("sha256:{number:064x}"),
        size_bytes: 1_000_000,
        revision: format!("{number:040x}"),
        commit_subject: Some("a commit".to_owned()),
        commit_author: Some("A Person".to_owned()),
        exposed_ports: vec![8080],
        builder: "dockerfile".to_owned(),
    }
}

#[async_trait]
impl Server for ScriptedServer {
    async fn build(&self, order: BuildOrder, journal: &dyn Journal, cancel: CancellationToken) -> Result<Built, Failure> {
        self.note(format!("build {}", order.service));
        if let Some(built) = lock(&self.state).built.get(&order.operation).cloned() {
            return Ok(built);
        }
        for step in [Step::Fetch, Step::Build] {
            journal.before(step).await?;
            self.pass(step, &cancel).await?;
            journal.after(step, None).await?;
        }
        let mut state = lock(&self.state);
        state.numbers += 1;
        let number = state.numbers;
        let outcome = state.builds.pop_front().unwrap_or_else(|| Ok(built(number)));
        if let Ok(built) = &outcome {
            state.built.insert(order.operation, built.clone());
        }
        outcome
    }

    async fn apply(&self, order: ApplyOrder, journal: &dyn Journal, cancel: CancellationToken) -> Result<Applied, Failure> {
        let service = order.desired.service;
        self.note(format!("apply {service} v{}", order.desired.version));
        {
            let mut state = lock(&self.state);
            if let Some(applied) = state.applied.get(&order.operation) {
                return Ok(applied.clone());
            }
            let highest = state.fences.entry(service).or_default();
            if order.fence < *highest {
                return Err(Failure::new(Cause::Internal, Step::Create, "a newer order was accepted", "nothing"));
            }
            *highest = order.fence;
            if let Some(Err(failure)) = state.applies.pop_front() {
                return Err(failure);
            }
        }
        let outcome = self.roll_out(&order, journal, &cancel).await;
        match &outcome {
            Ok(applied) => {
                lock(&self.state).applied.insert(order.operation, applied.clone());
            }
            Err(failure) => self.undo(service, failure),
        }
        outcome
    }

    async fn run(&self, order: RunOrder, cancel: CancellationToken) -> Result<RunEnd, Failure> {
        if let Some(end) = lock(&self.state).ended.get(&order.run) {
            return Ok(end.clone());
        }
        self.note(format!("run {} {}", order.run, order.command.join(" ")));
        self.pass(Step::ReleaseCommand, &cancel).await?;
        let mut state = lock(&self.state);
        let outcome = state.runs.pop_front().unwrap_or(Ok(RunEnd { exit_code: 0, out_of_memory: false, timed_out: false }));
        if let Ok(end) = &outcome {
            state.ended.insert(order.run, end.clone());
        }
        outcome
    }

    async fn stop(&self, service: ServiceId, fence: u64) -> Result<(), Failure> {
        self.note(format!("stop {service}"));
        let mut state = lock(&self.state);
        let highest = state.fences.entry(service).or_default();
        if fence < *highest {
            return Err(Failure::new(Cause::Internal, Step::Stop, "a newer order was accepted", "nothing"));
        }
        *highest = fence;
        state.replicas.remove(&service);
        state.stopped.insert(service);
        Ok(())
    }

    async fn remove(&self, removal: Removal) -> Result<RemovalReport, Failure> {
        let call = match &removal {
            Removal::Service { service, volumes } => {
                let mut state = lock(&self.state);
                state.replicas.remove(service);
                state.serving.remove(service);
                state.started.remove(service);
                format!("remove {service} with {} volumes", volumes.len())
            }
            Removal::Environment { environment } => format!("remove {environment}"),
            Removal::Volume { volume } => format!("remove {volume}"),
            Removal::Images { service, images } => format!("remove images of {service}: {}", images.join(" ")),
        };
        self.note(call);
        Ok(RemovalReport { left: lock(&self.state).left.clone(), ..RemovalReport::default() })
    }

    async fn replicas(&self, service: ServiceId) -> Result<Vec<ReplicaStatus>, Failure> {
        Ok(lock(&self.state).replicas.get(&service).cloned().unwrap_or_default())
    }

    async fn sweep(&self, intended: Intended, _mode: SweepMode) -> Result<SweepReport, Failure> {
        self.note("sweep".to_owned());
        let mut state = lock(&self.state);
        let serves = |service: &ServiceId| state.serving.get(service).map(|desired| desired.release);
        let wanted = intended.services.iter().filter(|(_, wanted)| wanted.release.is_some() && !wanted.stopped);
        let missing = wanted.filter(|(service, wanted)| serves(service) != wanted.release).map(|(service, _)| *service).collect();
        state.intended = Some(intended);
        Ok(SweepReport { missing, crashed: state.crashed.clone(), ..SweepReport::default() })
    }

    async fn read_logs(&self, query: LogQuery) -> Result<LogPage, Failure> {
        Ok(self.logs.page(&query))
    }

    async fn follow_logs(&self, query: LogQuery) -> Result<BoxStream<'static, LogEvent>, Failure> {
        Ok(ScriptedLogs::follow(Arc::clone(&self.logs), query))
    }

    async fn append_log(&self, stream: LogStream, line: String) -> Result<(), Failure> {
        self.logs.line(stream, &line);
        Ok(())
    }

    async fn close_log(&self, stream: LogStream, status: String) -> Result<(), Failure> {
        self.logs.close(stream, status);
        Ok(())
    }

    async fn purge_logs(&self, stream: Option<LogStream>, _before: DateTime<Utc>) -> Result<u64, Failure> {
        if lock(&self.state).logs_kept {
            return Err(Self::failure(Cause::DiskFull, Step::Record));
        }
        Ok(self.logs.purge(stream))
    }

    /// Answers what it was asked; then ends, or stays open when terminals are held.
    async fn exec(&self, order: ExecOrder) -> Result<ExecSession, Failure> {
        self.note(format!("exec {} {}", order.service, order.command.join(" ")));
        let text = bytes::Bytes::from(format!("{}\r\n", order.command.join(" ")));
        let output = futures_util::stream::iter([Ok(text)]);
        let (input, mut inputs) = tokio::sync::mpsc::channel::<ExecInput>(8);
        let (ended, exit) = tokio::sync::oneshot::channel();
        if lock(&self.state).terminals_held {
            // Ends with the session, as the command does.
            tokio::spawn(async move { while inputs.recv().await.is_some() {} });
            return Ok(ExecSession { output: output.chain(futures_util::stream::pending()).boxed(), input, exit });
        }
        // The other side may be gone already.
        let _ = ended.send(0);
        Ok(ExecSession { output: output.boxed(), input, exit })
    }

    async fn health(&self) -> ServerHealth {
        ServerHealth { parts: Vec::new() }
    }
}

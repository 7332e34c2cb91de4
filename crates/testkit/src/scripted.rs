//! A server side that does nothing and answers as told: builds and applies succeed unless a failure is queued.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use deployer::protocol::{
    Applied, ApplyOrder, BuildOrder, Built, ExecInput, ExecOrder, ExecSession, Intended, Journal, LogChannel, LogEvent, LogLine, LogPage,
    LogQuery, LogStream, Removal, RemovalReport, ReplicaState, ReplicaStatus, RunEnd, RunOrder, Server, ServerHealth, SweepMode,
    SweepReport,
};
use domain::deployment::{Cause, Failure, Step};
use domain::id::ServiceId;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio_util::sync::CancellationToken;

/// What was asked, in order: `build svc_…`, `apply svc_… v2`, `stop svc_…`.
#[derive(Default)]
pub struct ScriptedServer {
    calls: Mutex<Vec<String>>,
    builds: Mutex<VecDeque<Result<Built, Failure>>>,
    applies: Mutex<VecDeque<Result<(), Failure>>>,
    runs: Mutex<VecDeque<Result<RunEnd, Failure>>>,
    replicas: Mutex<HashMap<ServiceId, Vec<ReplicaStatus>>>,
    logs: Mutex<HashMap<LogStream, Log>>,
}

#[derive(Default, Clone)]
struct Log {
    lines: Vec<LogLine>,
    ended: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScriptedServer {
    pub fn calls(&self) -> Vec<String> {
        lock(&self.calls).clone()
    }

    /// The next build ends like this.
    pub fn next_build(&self, outcome: Result<Built, Failure>) {
        lock(&self.builds).push_back(outcome);
    }

    /// The next apply ends like this.
    pub fn next_apply(&self, outcome: Result<(), Failure>) {
        lock(&self.applies).push_back(outcome);
    }

    /// The next run (release command, one-off) ends like this.
    pub fn next_run(&self, outcome: Result<RunEnd, Failure>) {
        lock(&self.runs).push_back(outcome);
    }

    /// A failure for the methods above.
    pub fn failure(cause: Cause, step: Step) -> Failure {
        Failure::new(cause, step, "scripted to fail", "nothing: it is a test")
    }

    fn note(&self, call: String) {
        lock(&self.calls).push(call);
    }
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
    async fn build(&self, order: BuildOrder, _journal: &dyn Journal, _cancel: CancellationToken) -> Result<Built, Failure> {
        self.note(format!("build {}", order.service));
        let queued = lock(&self.builds).pop_front();
        let number = self.calls().len();
        queued.unwrap_or_else(|| Ok(built(number)))
    }

    async fn apply(&self, order: ApplyOrder, _journal: &dyn Journal, _cancel: CancellationToken) -> Result<Applied, Failure> {
        let desired = &order.desired;
        self.note(format!("apply {} v{}", desired.service, desired.version));
        if let Some(Err(failure)) = lock(&self.applies).pop_front() {
            return Err(failure);
        }
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
        lock(&self.replicas).insert(desired.service, replicas.clone());
        Ok(Applied { replicas, requests_cut: 0, gap_ms: None, healthy_after_ms: 5 })
    }

    async fn run(&self, order: RunOrder, _cancel: CancellationToken) -> Result<RunEnd, Failure> {
        self.note(format!("run {} {}", order.run, order.command.join(" ")));
        let queued = lock(&self.runs).pop_front();
        queued.unwrap_or(Ok(RunEnd { exit_code: 0, out_of_memory: false, timed_out: false }))
    }

    async fn stop(&self, service: ServiceId, _fence: u64) -> Result<(), Failure> {
        self.note(format!("stop {service}"));
        lock(&self.replicas).remove(&service);
        Ok(())
    }

    async fn remove(&self, removal: Removal) -> Result<RemovalReport, Failure> {
        let call = match &removal {
            Removal::Service { service, .. } => {
                lock(&self.replicas).remove(service);
                format!("remove {service}")
            }
            Removal::Environment { environment } => format!("remove {environment}"),
            Removal::Volume { volume } => format!("remove {volume}"),
            Removal::Images { service, images } => format!("remove {} images of {service}", images.len()),
        };
        self.note(call);
        Ok(RemovalReport::default())
    }

    async fn replicas(&self, service: ServiceId) -> Result<Vec<ReplicaStatus>, Failure> {
        Ok(lock(&self.replicas).get(&service).cloned().unwrap_or_default())
    }

    async fn sweep(&self, _intended: Intended, _mode: SweepMode) -> Result<SweepReport, Failure> {
        self.note("sweep".to_owned());
        Ok(SweepReport::default())
    }

    async fn read_logs(&self, query: LogQuery) -> Result<LogPage, Failure> {
        let log = lock(&self.logs).get(&query.stream).cloned().unwrap_or_default();
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let lines: Vec<LogLine> = log.lines.into_iter().filter(|line| query.after.is_none_or(|after| line.offset > after)).take(limit).collect();
        let next = lines.last().map(|line| line.offset);
        let mut events: Vec<LogEvent> = lines.into_iter().map(LogEvent::Line).collect();
        let ended = log.ended.is_some();
        events.extend(log.ended.map(|status| LogEvent::End { status }));
        Ok(LogPage { events, next, ended })
    }

    async fn follow_logs(&self, query: LogQuery) -> Result<BoxStream<'static, LogEvent>, Failure> {
        let page = self.read_logs(query).await?;
        Ok(futures_util::stream::iter(page.events).boxed())
    }

    async fn append_log(&self, stream: LogStream, line: String) -> Result<(), Failure> {
        let mut logs = lock(&self.logs);
        let log = logs.entry(stream).or_default();
        let offset = u64::try_from(log.lines.len()).unwrap_or(u64::MAX).saturating_add(1);
        let line = LogLine { offset, at: DateTime::UNIX_EPOCH, channel: LogChannel::Platform, origin: "seaway".to_owned(), text: line };
        log.lines.push(line);
        Ok(())
    }

    async fn close_log(&self, stream: LogStream, status: String) -> Result<(), Failure> {
        lock(&self.logs).entry(stream).or_default().ended = Some(status);
        Ok(())
    }

    async fn purge_logs(&self, _stream: Option<LogStream>, _before: DateTime<Utc>) -> Result<u64, Failure> {
        Ok(0)
    }

    /// Answers what it was asked, once, then ends.
    async fn exec(&self, order: ExecOrder) -> Result<ExecSession, Failure> {
        self.note(format!("exec {} {}", order.service, order.command.join(" ")));
        let text = bytes::Bytes::from(format!("{}\r\n", order.command.join(" ")));
        let (input, _) = tokio::sync::mpsc::channel::<ExecInput>(8);
        let (ended, exit) = tokio::sync::oneshot::channel();
        let _ = ended.send(0);
        Ok(ExecSession { output: futures_util::stream::iter([Ok(text)]).boxed(), input, exit })
    }

    async fn health(&self) -> ServerHealth {
        ServerHealth { parts: Vec::new() }
    }
}

//! One command in a fresh container: release command, one-off command, post-deploy command.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use domain::deployment::{Failure, Step};
use domain::service::{Limits, WEB};
use tokio_util::sync::CancellationToken;

use crate::engine::labels::{self, RunLabels};
use crate::engine::short;
use crate::logs::collect::{Collector, Followed};
use crate::mask::Masker;
use crate::parts::Parts;
use crate::policy::{Role, Wanted, approve};
use crate::protocol::{DesiredMount, DesiredProcess, RunEnd, RunOrder};
use crate::rollout::{health, prepare};

/// After the time limit or a cancel: stop signal, this long, then SIGKILL.
const STOP_GRACE_SECONDS: u32 = 5;
/// The collector gets this long to store the last lines of a container that ended.
const LAST_LINES_WAIT: Duration = Duration::from_secs(5);
/// Name of the lines in the log.
const ORIGIN: &str = "run";

/// Takes the run out of the list of those under way, however it ends.
struct UnderWay<'a>(&'a Parts, domain::id::RunId);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// A repeat of the same order finds the container of the first attempt and waits for its end.
pub async fn run(parts: &Arc<Parts>, mut order: RunOrder, cancel: CancellationToken) -> Result<RunEnd, Failure> {
    parts.runs.lock().unwrap_or_else(PoisonError::into_inner).insert(order.run);
    let _under_way = UnderWay(parts, order.run);
    let container = match find(parts, &order).await? {
        Some(id) => id,
        None => create(parts, &mut order).await?,
    };
    let began = tokio::time::Instant::now();
    if let Err(failure) = parts.engine.start(&container).await {
        let _ = parts.engine.remove(&container).await;
        return Err(failure);
    }
    let followed = Followed {
        container: container.clone(),
        stream: order.stream,
        origin: ORIGIN.to_owned(),
        masker: Arc::new(Masker::new(&order.desired.masks)),
    };
    let collector = Collector { engine: Arc::clone(&parts.engine), store: Arc::clone(&parts.logs) };
    let stop = parts.stop.child_token();
    let following = parts.tasks.spawn(async move { collector.follow(followed, stop).await });

    let limit = Duration::from_secs(u64::from(order.timeout_seconds.max(1)));
    let outcome = tokio::select! {
        ended = parts.engine.ended(&container) => Outcome::Ended(ended),
        () = tokio::time::sleep_until(began + limit) => Outcome::TimedOut,
        () = cancel.cancelled() => Outcome::Canceled,
    };
    let mut timed_out = false;
    let ended = match outcome {
        Outcome::Ended(ended) => ended,
        other => {
            timed_out = matches!(other, Outcome::TimedOut);
            parts.engine.stop(&container, STOP_GRACE_SECONDS).await?;
            parts.engine.ended(&container).await
        }
    };
    let _ = tokio::time::timeout(LAST_LINES_WAIT, following).await;
    parts.engine.remove(&container).await?;
    let ended = ended?;
    if timed_out {
        parts.say(order.stream, ORIGIN, format!("The command was stopped: it took longer than {} s", order.timeout_seconds));
    } else if cancel.is_cancelled() {
        return Err(health::canceled(Step::ReleaseCommand));
    }
    Ok(RunEnd { exit_code: ended.exit_code, out_of_memory: ended.out_of_memory, timed_out })
}

enum Outcome {
    Ended(Result<crate::engine::Ended, Failure>),
    TimedOut,
    Canceled,
}

async fn find(parts: &Parts, order: &RunOrder) -> Result<Option<String>, Failure> {
    let listed = parts.engine.list(&[format!("{}={}", labels::RUN, order.run)]).await?;
    Ok(listed.into_iter().find(|found| parts.engine.as_run(found).is_some_and(|run| run.run == order.run)).map(|found| found.id))
}

async fn create(parts: &Parts, order: &mut RunOrder) -> Result<String, Failure> {
    let writes = order.desired.mounts.iter().any(|mount| matches!(mount, DesiredMount::Volume { read_only: false, .. }));
    if writes {
        let running = parts.engine.replicas(order.desired.service).await?;
        if running.iter().any(|replica| matches!(replica.state, bollard::models::ContainerSummaryStateEnum::RUNNING)) {
            // Never two writers on a volume.
            for mount in &mut order.desired.mounts {
                if let DesiredMount::Volume { read_only, .. } = mount {
                    *read_only = true;
                }
            }
            parts.say(order.stream, ORIGIN, "The volumes are read-only for this command: a replica of the service is writing to them");
        }
    }
    let ground = prepare::ground(parts, &order.desired).await?;
    let limits = order
        .desired
        .processes
        .iter()
        .find(|process| process.name == WEB)
        .or_else(|| order.desired.processes.first())
        .map_or_else(Limits::default, |process| process.limits.clone());
    let process = DesiredProcess { name: "run".to_owned(), command: None, replicas: 1, limits };
    let wanted =
        Wanted { desired: &order.desired, process: &process, host: &ground.host, network: &ground.network, sources: &ground.sources };
    let labels = RunLabels {
        run: order.run,
        service: order.desired.service,
        environment: order.desired.environment,
        deadline: parts.clock.now().timestamp() + i64::from(order.timeout_seconds),
    };
    let name = format!("sw-run-{}", short(&order.run.to_string()));
    let spec = approve(&wanted, Role::OneOff { labels, name, command: order.command.clone() })?;
    parts.engine.create(&spec).await
}

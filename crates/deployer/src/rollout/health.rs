//! Waits until one replica proves that it is ready, or says why it is not.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use domain::deployment::{Cause, Failure, Step};
use domain::service::{HealthCheck, Probe, WEB};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::listeners::{self, Verdict};
use crate::engine::{Ended, Engine};

/// The first probes come fast: most apps are up within a tenth of a second, and a deployment must not wait for a timer.
const FIRST_PAUSE: Duration = Duration::from_millis(8);
const PAUSE_GROWTH: f64 = 1.5;
/// An app that listens elsewhere for this part of the deadline is not going to change its mind.
const MISMATCH_PART_OF_DEADLINE: u32 = 4;
const MISMATCH_CHECK_INTERVAL: Duration = Duration::from_secs(1);
pub const USER_AGENT: &str = "Seaway-Health/1";

/// A replica that was started.
pub struct Candidate<'a> {
    pub container: &'a str,
    /// `web.1`.
    pub name: &'a str,
    pub process: &'a str,
    pub address: IpAddr,
    pub pid: i64,
    pub port: u16,
    /// `Host` of the probe; some apps refuse requests for a name that is not theirs.
    pub host: Option<&'a str>,
    pub started: Instant,
}

/// Why it did not get healthy.
#[derive(Debug)]
pub enum Unhealthy {
    Ended(Ended),
    /// With what the last probe said.
    Deadline(String),
    Mismatch(Verdict),
    Canceled,
    Engine(Failure),
}

/// Waits for health. `said` gets what a person may want to know early.
pub async fn wait(
    engine: &Engine,
    candidate: &Candidate<'_>,
    check: &HealthCheck,
    cancel: &CancellationToken,
    said: &(dyn Fn(String) + Sync),
) -> Result<(), Unhealthy> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Unhealthy::Canceled),
        ended = engine.ended(candidate.container) => match ended {
            Ok(ended) => Err(Unhealthy::Ended(ended)),
            Err(failure) => Err(Unhealthy::Engine(failure)),
        },
        result = probe_until(engine, candidate, check, said) => result,
    }
}

async fn probe_until(
    engine: &Engine,
    candidate: &Candidate<'_>,
    check: &HealthCheck,
    said: &(dyn Fn(String) + Sync),
) -> Result<(), Unhealthy> {
    let deadline = candidate.started + Duration::from_secs(u64::from(check.deadline_seconds.max(1)));
    let patience = Duration::from_secs(u64::from(check.deadline_seconds)) / MISMATCH_PART_OF_DEADLINE;
    let interval = Duration::from_millis(u64::from(check.interval_ms.max(1)));
    let timeout = Duration::from_millis(u64::from(check.timeout_ms.max(1)));
    let mut pause = FIRST_PAUSE.min(interval);
    let mut in_a_row = 0;
    let mut mismatch: Option<(Verdict, Instant)> = None;
    let mut mismatch_checked = Instant::now();
    let mut last = String::new();
    loop {
        let limit = timeout.min(deadline.saturating_duration_since(Instant::now())).max(Duration::from_millis(1));
        last = match tokio::time::timeout(limit, probe(engine, candidate, check)).await {
            Ok(Ok(())) => {
                in_a_row += 1;
                if in_a_row >= check.successes.max(1) {
                    return Ok(());
                }
                String::new()
            }
            Ok(Err(reason)) => {
                in_a_row = 0;
                reason
            }
            // Cut short by the deadline: what an earlier probe said tells more.
            Err(_) if limit < timeout && !last.is_empty() => last,
            Err(_) => {
                in_a_row = 0;
                format!("no answer within {} ms", limit.as_millis())
            }
        };
        let now = Instant::now();
        if needs_port(candidate, check) && in_a_row == 0 && now.duration_since(mismatch_checked) >= MISMATCH_CHECK_INTERVAL {
            mismatch_checked = now;
            let verdict = listeners::judge(candidate.port, &listeners::of_process(candidate.pid).await);
            mismatch = match (verdict, mismatch) {
                (Verdict::Open | Verdict::Nothing, _) => None,
                (verdict, Some((before, since))) if before == verdict => Some((verdict, since)),
                (verdict, _) => {
                    said(format!("{} {}.", candidate.name, describe(&verdict, candidate.port)));
                    Some((verdict, now))
                }
            };
            if let Some((verdict, _)) = mismatch.as_ref().filter(|(_, since)| now.duration_since(*since) >= patience) {
                return Err(Unhealthy::Mismatch(verdict.clone()));
            }
        }
        if now + pause >= deadline {
            let verdict = if needs_port(candidate, check) {
                listeners::judge(candidate.port, &listeners::of_process(candidate.pid).await)
            } else {
                Verdict::Open
            };
            return Err(match verdict {
                Verdict::LoopbackOnly | Verdict::OtherPorts(_) => Unhealthy::Mismatch(verdict),
                _ => Unhealthy::Deadline(last),
            });
        }
        tokio::time::sleep(pause).await;
        pause = pause.mul_f64(PAUSE_GROWTH).min(interval);
    }
}

fn needs_port(candidate: &Candidate<'_>, check: &HealthCheck) -> bool {
    candidate.process == WEB && !matches!(check.probe, Probe::Command { .. })
}

/// One probe. The configured one is for `web`; other processes prove themselves by staying up.
async fn probe(engine: &Engine, candidate: &Candidate<'_>, check: &HealthCheck) -> Result<(), String> {
    let address = SocketAddr::new(candidate.address, candidate.port);
    let stay_up = candidate.started + Duration::from_secs(u64::from(check.stay_up_seconds));
    if candidate.process != WEB {
        tokio::time::sleep_until(stay_up).await;
        return Ok(());
    }
    match &check.probe {
        Probe::Http { path } => http(address, path, candidate.host).await,
        Probe::Tcp => connect(address).await.map(drop),
        Probe::Command { argv } => crate::exec::probe(engine, candidate.container, argv).await,
        Probe::StayUp => {
            connect(address).await?;
            if Instant::now() >= stay_up { Ok(()) } else { Err("it is up, but not long enough yet".to_owned()) }
        }
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => format!("nothing listens on port {}", address.port()),
        _ => format!("port {} cannot be reached: {error}", address.port()),
    })
}

async fn http(address: SocketAddr, path: &str, host: Option<&str>) -> Result<(), String> {
    let status = get(address, path, host.unwrap_or("localhost")).await?.status();
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(format!("GET {path} answered {status}")) }
}

/// One request on a connection of its own; the body is not read.
pub async fn get(address: SocketAddr, path: &str, host: &str) -> Result<http::Response<hyper::body::Incoming>, String> {
    let stream = connect(address).await?;
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = http::Request::get(path)
        .header(http::header::HOST, host)
        .header(http::header::USER_AGENT, USER_AGENT)
        .header(http::header::ACCEPT, "*/*")
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("{path} is not a path: {error}"))?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    // The connection is driven here, so nothing is left behind when the probe is given up.
    tokio::select! {
        biased;
        answer = &mut answer => answer.map_err(|error| format!("GET {path} got no answer: {error}")),
        ended = &mut connection => match ended {
            Ok(()) => answer.await.map_err(|error| format!("GET {path} got no answer: {error}")),
            Err(error) => Err(format!("GET {path} got no answer: {error}")),
        },
    }
}

fn describe(verdict: &Verdict, expected: u16) -> String {
    match verdict {
        Verdict::LoopbackOnly => format!("listens on port {expected} of 127.0.0.1 only, which nothing outside the container can reach"),
        Verdict::OtherPorts(ports) => {
            let list: Vec<String> = ports.iter().map(u16::to_string).collect();
            format!("listens on port {}, expected {expected}", list.join(" and "))
        }
        Verdict::Open | Verdict::Nothing => format!("does not listen on port {expected}"),
    }
}

/// The failure that a person reads.
pub fn explain(candidate_name: &str, port: u16, check: &HealthCheck, after: Duration, unhealthy: Unhealthy) -> Failure {
    let seconds = format!("{:.1} s", after.as_secs_f64());
    match unhealthy {
        Unhealthy::Ended(ended) if ended.out_of_memory => Failure::new(
            Cause::OutOfMemory,
            Step::Health,
            format!("{candidate_name} was ended by the kernel after {seconds}: it used more memory than its limit."),
            "Raise the memory limit of the process, or make the app use less.",
        )
        .with_exit_code(ended.exit_code),
        Unhealthy::Ended(ended) => Failure::new(
            Cause::Start,
            Step::Start,
            format!("{candidate_name} ended after {seconds} with exit code {}.", ended.exit_code),
            "Read the last lines of its log below; check the command and the variables.",
        )
        .with_exit_code(ended.exit_code),
        Unhealthy::Mismatch(verdict) => {
            let next_step = match verdict {
                Verdict::LoopbackOnly => "Let the app listen on 0.0.0.0 instead of 127.0.0.1 (localhost).".to_owned(),
                Verdict::OtherPorts(ports) if ports.len() == 1 => {
                    let found = ports.first().copied().unwrap_or_default();
                    return Failure::new(
                        Cause::PortMismatch,
                        Step::Health,
                        format!("{candidate_name} {}.", describe(&Verdict::OtherPorts(ports), port)),
                        format!("Set the service's port to {found}, or let the app listen on the variable PORT."),
                    );
                }
                _ => "Set the service's port to the one that the app serves, or let the app listen on the variable PORT.".to_owned(),
            };
            Failure::new(Cause::PortMismatch, Step::Health, format!("{candidate_name} {}.", describe(&verdict, port)), next_step)
        }
        Unhealthy::Deadline(last) => {
            let last = if last.is_empty() { "no probe ended".to_owned() } else { last };
            Failure::new(
                Cause::Health,
                Step::Health,
                format!("{candidate_name} was not healthy within {} s. The last check said: {last}.", check.deadline_seconds),
                "Read the last lines of its log below; check the health path, or raise the deadline if the app starts slowly.",
            )
        }
        Unhealthy::Canceled => canceled(Step::Health),
        Unhealthy::Engine(failure) => failure,
    }
}

/// The end of a deployment that somebody canceled; the caller knows that it did.
pub fn canceled(step: Step) -> Failure {
    Failure::new(Cause::Internal, step, "The deployment was canceled.", "Deploy again when you want to.")
}

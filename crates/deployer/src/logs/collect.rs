//! Follows what running containers write and stores it: one task per container.
//!
//! A collector that starts again (agent or engine restarted) goes on after the last stored line of its container. It reads at
//! most what the budget allows; when an app floods, it stops reading for a while instead of reading only to drop, and the
//! engine's own buffer (non-blocking, see `policy`) drops for it. The app itself is never blocked.

use std::sync::Arc;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::budget::{Budget, PAUSE};
use super::store::{LogStore, NewLine};
use crate::engine::Engine;
use crate::mask::Masker;
use crate::protocol::{LogChannel, LogStream};

/// Lines that are written to disk together.
const BATCH_LINES: usize = 256;
/// How long a line may wait for its batch.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// Pause before the engine is asked again after an error.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(15);

/// What is followed.
#[derive(Clone)]
pub struct Followed {
    pub container: String,
    pub stream: LogStream,
    /// `web.1`.
    pub origin: String,
    pub masker: Arc<Masker>,
}

pub struct Collector {
    pub engine: Arc<Engine>,
    pub store: Arc<LogStore>,
}

enum Ended {
    /// The container ended or is gone.
    Container,
    /// Too much output.
    Flood,
    /// The engine does not answer.
    Engine,
}

impl Collector {
    /// Runs until the container is gone or `stop`.
    pub async fn follow(&self, followed: Followed, stop: CancellationToken) {
        let short: String = followed.container.chars().take(12).collect();
        let mut last = self.store.last_of(followed.stream, &short).ok().flatten();
        let mut pause = RETRY_PAUSE;
        let mut budget = Budget::new(Instant::now());
        let mut only_new = false;
        loop {
            let outcome = tokio::select! {
                outcome = self.read(&followed, &short, &mut last, &mut budget, only_new) => outcome,
                () = stop.cancelled() => return,
            };
            let wait = match outcome {
                Ended::Flood => {
                    only_new = true;
                    PAUSE
                }
                Ended::Container | Ended::Engine => {
                    only_new = false;
                    match self.engine.find(&followed.container).await {
                        Ok(None) => return,
                        Ok(Some(found)) => {
                            let state = found.state.unwrap_or_default();
                            let alive = state.running.unwrap_or(false) || state.restarting.unwrap_or(false);
                            if !alive && matches!(outcome, Ended::Container) {
                                return;
                            }
                            pause = RETRY_PAUSE;
                        }
                        Err(_) => pause = (pause * 2).min(RETRY_PAUSE_MAX),
                    }
                    pause
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn read(&self, followed: &Followed, short: &str, last: &mut Option<DateTime<Utc>>, budget: &mut Budget, only_new: bool) -> Ended {
        let Ok(docker) = self.engine.docker().await else { return Ended::Engine };
        let mut options = LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).timestamps(true);
        if only_new {
            options = options.tail("0");
        } else if let Some(last) = *last {
            options = options.since(i32::try_from(last.timestamp()).unwrap_or(0));
        }
        let mut output = docker.logs(&followed.container, Some(options.build())).boxed();
        // The store keeps microseconds, the engine nanoseconds.
        let mut resume_us = last.filter(|_| !only_new).map(|last| last.timestamp_micros());
        let mut batch: Vec<NewLine> = Vec::new();
        let mut flush_at: Option<Instant> = None;
        let ended = loop {
            let next = match flush_at {
                Some(at) => match tokio::time::timeout_at(at, output.next()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.flush(followed, &mut batch, budget);
                        flush_at = None;
                        continue;
                    }
                },
                None => output.next().await,
            };
            let part = match next {
                Some(Ok(part)) => part,
                Some(Err(_)) => break Ended::Engine,
                None => break Ended::Container,
            };
            let now = Instant::now();
            if !budget.take(part.as_ref().len(), now) {
                if budget.is_flooded() {
                    break Ended::Flood;
                }
                flush_at.get_or_insert(now + BATCH_WAIT);
                continue;
            }
            let Some(line) = line(followed, short, &part) else { continue };
            if resume_us.zip(line.at).is_some_and(|(resume, at)| at.timestamp_micros() <= resume) {
                continue;
            }
            resume_us = None;
            *last = line.at.or(*last);
            batch.push(line);
            if batch.len() >= BATCH_LINES {
                self.flush(followed, &mut batch, budget);
                flush_at = None;
            } else {
                flush_at.get_or_insert(now + BATCH_WAIT);
            }
        };
        self.flush(followed, &mut batch, budget);
        ended
    }

    fn flush(&self, followed: &Followed, batch: &mut Vec<NewLine>, budget: &mut Budget) {
        let mut result = Ok(());
        if !batch.is_empty() {
            result = self.store.append(followed.stream, std::mem::take(batch));
        }
        let dropped = budget.take_dropped();
        if dropped > 0 {
            result = result.and_then(|()| self.store.gap(followed.stream, &followed.origin, dropped));
        }
        if let Err(error) = result {
            tracing::warn!(container = followed.container, "lines of {} could not be stored: {error}", followed.origin);
        }
    }
}

/// `2026-11-01T00:00:00.123456789Z text`.
fn line(followed: &Followed, short: &str, part: &LogOutput) -> Option<NewLine> {
    let channel = if matches!(part, LogOutput::StdErr { .. }) { LogChannel::Stderr } else { LogChannel::Stdout };
    let text = String::from_utf8_lossy(part.as_ref());
    let (time, text) = text.split_once(' ').unwrap_or((text.as_ref(), ""));
    let at = DateTime::parse_from_rfc3339(time).ok()?.with_timezone(&Utc);
    let text = text.trim_end_matches(['\n', '\r']);
    Some(NewLine {
        at: Some(at),
        channel,
        origin: followed.origin.clone(),
        text: followed.masker.mask(text).into_owned(),
        container: short.to_owned(),
    })
}

//! What the ingress asks of those who run replicas: a bounded list that they read with a long poll.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::wire::{Event, EventKind, Events};

/// Events remembered; a reader that is further behind is told that it lost some.
pub const EVENTS_MAX: usize = 4_096;
/// Longest wait of one poll.
pub const WAIT_MS_MAX: u64 = 60_000;

#[derive(Debug)]
pub struct EventLog {
    started_at_ms: i64,
    inner: Mutex<Inner>,
    added: Notify,
}

#[derive(Debug)]
struct Inner {
    next: u64,
    events: VecDeque<Event>,
}

impl EventLog {
    pub fn new(started_at_ms: i64) -> Self {
        Self { started_at_ms, inner: Mutex::new(Inner { next: 1, events: VecDeque::new() }), added: Notify::new() }
    }

    pub fn add(&self, at_ms: i64, service: &str, kind: EventKind) {
        let mut inner = self.lock();
        let sequence = inner.next;
        inner.next += 1;
        if inner.events.len() >= EVENTS_MAX {
            inner.events.pop_front();
        }
        inner.events.push_back(Event { sequence, at_ms, service: service.to_owned(), kind });
        drop(inner);
        self.added.notify_waiters();
    }

    /// Events from sequence `from` on (0: from now on); waits for the first one at most `wait`.
    pub async fn read(&self, from: u64, wait: Duration) -> Events {
        let deadline = Instant::now() + wait.min(Duration::from_millis(WAIT_MS_MAX));
        let from = if from == 0 { self.lock().next } else { from };
        loop {
            let added = self.added.notified();
            tokio::pin!(added);
            added.as_mut().enable();
            let found = self.since(from);
            if !found.events.is_empty() || found.lost || tokio::time::timeout_at(deadline, added).await.is_err() {
                return found;
            }
        }
    }

    fn since(&self, from: u64) -> Events {
        let inner = self.lock();
        let events: Vec<Event> = inner.events.iter().filter(|event| event.sequence >= from).cloned().collect();
        let first = inner.events.front().map_or(inner.next, |event| event.sequence);
        // A number from the future is one of another process.
        let lost = from < first || from > inner.next;
        Events { events, next: inner.next, started_at_ms: self.started_at_ms, lost }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_gets_every_event_once_or_is_told() {
        let log = std::sync::Arc::new(EventLog::new(7));
        let waiting = tokio::spawn({
            let log = std::sync::Arc::clone(&log);
            async move { log.read(0, Duration::from_secs(30)).await }
        });
        tokio::task::yield_now().await;
        log.add(1, "a", EventKind::Wake);
        let first = waiting.await.unwrap();
        assert_eq!((first.events.len(), first.next, first.lost, first.started_at_ms), (1, 2, false, 7));
        let none = log.read(first.next, Duration::from_secs(1)).await;
        assert_eq!((none.events.len(), none.next, none.lost), (0, 2, false));
        for _ in 0..EVENTS_MAX + 5 {
            log.add(2, "b", EventKind::Wake);
        }
        let late = log.read(none.next, Duration::from_secs(1)).await;
        assert_eq!((late.events.len(), late.lost), (EVENTS_MAX, true));
        assert!(log.read(1_000_000, Duration::from_secs(1)).await.lost, "a number of another process");
    }
}

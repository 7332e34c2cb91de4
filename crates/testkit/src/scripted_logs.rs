//! Logs of the scripted server: kept in memory, followed as they grow.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::DateTime;
pub use deployer::protocol::LogStream;
use deployer::protocol::{LogChannel, LogEvent, LogLine, LogPage, LogQuery};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::Notify;

#[derive(Default)]
pub struct ScriptedLogs {
    logs: Mutex<HashMap<LogStream, Log>>,
    grown: Notify,
}

#[derive(Default, Clone)]
struct Log {
    events: Vec<(u64, LogEvent)>,
    next: u64,
    ended: Option<String>,
}

impl ScriptedLogs {
    fn lock(&self) -> MutexGuard<'_, HashMap<LogStream, Log>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn line(&self, stream: LogStream, text: &str) {
        let mut logs = self.lock();
        let log = logs.entry(stream).or_default();
        log.next += 1;
        let (offset, text) = (log.next, text.to_owned());
        let line = LogLine { offset, at: DateTime::UNIX_EPOCH, channel: LogChannel::Stdout, origin: "web.1".to_owned(), text };
        log.events.push((offset, LogEvent::Line(line)));
        drop(logs);
        self.grown.notify_waiters();
    }

    /// Lines that a limit has swallowed.
    pub fn gap(&self, stream: LogStream, dropped: u64) {
        let mut logs = self.lock();
        let log = logs.entry(stream).or_default();
        log.next += dropped;
        let offset = log.next;
        log.events.push((offset, LogEvent::Gap { offset, dropped }));
        drop(logs);
        self.grown.notify_waiters();
    }

    pub fn close(&self, stream: LogStream, status: String) {
        self.lock().entry(stream).or_default().ended.get_or_insert(status);
        self.grown.notify_waiters();
    }

    /// How the stream ended.
    pub fn ended(&self, stream: LogStream) -> Option<String> {
        self.lock().get(&stream).and_then(|log| log.ended.clone())
    }

    /// Whether anything of the stream is kept.
    pub fn is_kept(&self, stream: LogStream) -> bool {
        self.lock().contains_key(&stream)
    }

    pub(crate) fn purge(&self, stream: Option<LogStream>) -> u64 {
        let mut logs = self.lock();
        match stream {
            Some(stream) => u64::from(logs.remove(&stream).is_some()),
            None => 0,
        }
    }

    pub(crate) fn page(&self, query: &LogQuery) -> LogPage {
        let log = self.lock().get(&query.stream).cloned().unwrap_or_default();
        let matches = |event: &LogEvent| match (event, &query.contains) {
            (LogEvent::Line(line), Some(text)) => line.text.contains(text),
            _ => true,
        };
        let wanted: Vec<_> =
            log.events.into_iter().filter(|(offset, event)| query.after.is_none_or(|after| *offset > after) && matches(event)).collect();
        let skipped = query.tail.map_or(0, |tail| wanted.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX)));
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let whole = wanted.len() - skipped <= limit;
        let taken: Vec<_> = wanted.into_iter().skip(skipped).take(limit).collect();
        let next = taken.last().map(|(offset, _)| *offset).or(query.after);
        let mut events: Vec<LogEvent> = taken.into_iter().map(|(_, event)| event).collect();
        let ended = whole && log.ended.is_some();
        events.extend(log.ended.filter(|_| whole).map(|status| LogEvent::End { status }));
        LogPage { events, next, ended }
    }

    pub(crate) fn follow(logs: Arc<Self>, query: LogQuery) -> BoxStream<'static, LogEvent> {
        let pages = futures_util::stream::unfold(Some(query), move |state| {
            let logs = Arc::clone(&logs);
            async move {
                let mut query = state?;
                loop {
                    let grown = logs.grown.notified();
                    tokio::pin!(grown);
                    grown.as_mut().enable();
                    let page = logs.page(&query);
                    if !page.events.is_empty() {
                        query.after = page.next;
                        query.tail = None;
                        return Some((futures_util::stream::iter(page.events), (!page.ended).then_some(query)));
                    }
                    grown.await;
                }
            }
        });
        pages.flatten().boxed()
    }
}

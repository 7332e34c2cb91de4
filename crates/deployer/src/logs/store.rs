//! The store of all streams.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use domain::Clock;
use domain::deployment::{Cause, Failure, Step};
use futures_util::stream::BoxStream;
use tokio::sync::watch;

use super::LINE_BYTES_MAX;
use super::record::{self, Record};
use super::segment::{self, Opened, Segment};
use crate::protocol::{LogChannel, LogEvent, LogPage, LogQuery, LogStream};

/// Lines of one page, at most.
pub const PAGE_LINES_MAX: usize = 5_000;

/// Bounds of the store.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// A new file is begun after this.
    pub segment_bytes_max: u64,
    /// Oldest lines go first.
    pub stream_bytes_max: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { segment_bytes_max: 2 * 1024 * 1024, stream_bytes_max: 32 * 1024 * 1024 }
    }
}

/// A line to be stored; masked already.
#[derive(Debug, Clone)]
pub struct NewLine {
    /// The store's clock when `None`.
    pub at: Option<DateTime<Utc>>,
    pub channel: LogChannel,
    pub origin: String,
    pub text: String,
    /// Id of the container that wrote it, for the collector.
    pub container: String,
}

pub struct LogStore {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    limits: LogLimits,
    streams: Mutex<HashMap<LogStream, Arc<Stream>>>,
}

struct Stream {
    folder: PathBuf,
    inner: Mutex<Inner>,
    /// Rises with every append; followers wait on it.
    changed: watch::Sender<u64>,
}

struct Inner {
    opened: Opened,
    file: Option<File>,
}

impl Stream {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogStore {
    pub fn open(folder: PathBuf, clock: Arc<dyn Clock>, limits: LogLimits) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, clock, limits, streams: Mutex::default() })
    }

    /// Appends lines in one write. A closed stream is opened again: a resumed deployment goes on in its own log.
    pub fn append(&self, stream: LogStream, lines: Vec<NewLine>) -> io::Result<()> {
        let now = self.clock.now();
        let records = lines.into_iter().map(|line| Record {
            offset: 0,
            at_us: line.at.unwrap_or(now).timestamp_micros(),
            channel: Some(line.channel),
            origin: line.origin,
            text: cut(line.text),
            container: line.container,
            dropped: None,
            end: None,
        });
        self.write(stream, records.collect())
    }

    /// A line of Seaway itself.
    pub fn say(&self, stream: LogStream, origin: &str, text: impl Into<String>) -> io::Result<()> {
        let line = NewLine { at: None, channel: LogChannel::Platform, origin: origin.into(), text: text.into(), container: String::new() };
        self.append(stream, vec![line])
    }

    /// Marks that lines are missing here.
    pub fn gap(&self, stream: LogStream, origin: &str, dropped: u64) -> io::Result<()> {
        let mut record = self.empty();
        record.origin = origin.to_owned();
        record.dropped = Some(dropped);
        self.write(stream, vec![record])
    }

    /// Ends the stream; a second call changes nothing.
    pub fn close(&self, stream: LogStream, status: &str) -> io::Result<()> {
        if self.stream(stream)?.lock().opened.ended.is_some() {
            return Ok(());
        }
        let mut record = self.empty();
        record.end = Some(status.to_owned());
        self.write(stream, vec![record])
    }

    fn empty(&self) -> Record {
        Record {
            offset: 0,
            at_us: self.clock.now().timestamp_micros(),
            channel: None,
            origin: String::new(),
            text: String::new(),
            container: String::new(),
            dropped: None,
            end: None,
        }
    }

    fn write(&self, name: LogStream, records: Vec<Record>) -> io::Result<()> {
        let stream = self.stream(name)?;
        let mut inner = stream.lock();
        let mut text = Vec::new();
        let mut next = inner.opened.next;
        let mut ended = None;
        for mut record in records {
            record.offset = next;
            next += 1;
            ended.clone_from(&record.end);
            serde_json::to_writer(&mut text, &record)?;
            text.push(b'\n');
        }
        let full = inner.opened.segments.last().is_none_or(|last| last.size_bytes >= self.limits.segment_bytes_max);
        if full {
            let (segment, file) = segment::create(&stream.folder, inner.opened.next)?;
            inner.opened.segments.push(segment);
            inner.file = Some(file);
            drop_oldest(&mut inner.opened.segments, self.limits.stream_bytes_max);
        } else if inner.file.is_none()
            && let Some(last) = inner.opened.segments.last()
        {
            inner.file = Some(segment::append_to(last)?);
        }
        if let Some(file) = inner.file.as_mut() {
            file.write_all(&text)?;
        }
        if let Some(last) = inner.opened.segments.last_mut() {
            last.size_bytes += u64::try_from(text.len()).unwrap_or(0);
        }
        inner.opened.next = next;
        inner.opened.ended = ended;
        if inner.opened.ended.is_some() {
            inner.file = None;
        }
        drop(inner);
        stream.changed.send_replace(next);
        Ok(())
    }

    /// One page; see [`LogQuery`].
    pub fn read(&self, query: &LogQuery) -> io::Result<LogPage> {
        let stream = self.stream(query.stream)?;
        let (segments, next, ended) = {
            let inner = stream.lock();
            (inner.opened.segments.clone(), inner.opened.next, inner.opened.ended.is_some())
        };
        let limit = usize::try_from(query.limit).unwrap_or(PAGE_LINES_MAX).clamp(1, PAGE_LINES_MAX);
        let mut page = match query.tail {
            Some(tail) if query.after.is_none() => {
                tail_of(&segments, next, query, usize::try_from(tail).unwrap_or(limit).min(PAGE_LINES_MAX))
            }
            _ => page_of(&segments, next, query, limit),
        };
        let at_end = page.next.unwrap_or(0) + 1 >= next;
        page.ended = ended && at_end;
        Ok(page)
    }

    /// Pages from a position on, and then what comes.
    pub fn follow(self: &Arc<Self>, mut query: LogQuery) -> io::Result<BoxStream<'static, LogEvent>> {
        let mut changed = self.stream(query.stream)?.changed.subscribe();
        let store = Arc::clone(self);
        Ok(Box::pin(async_stream::stream! {
            loop {
                let seen = *changed.borrow_and_update();
                let (asked, reader) = (query.clone(), Arc::clone(&store));
                let Ok(Ok(page)) = tokio::task::spawn_blocking(move || reader.read(&asked)).await else { return };
                let ended = page.ended;
                let position = page.next.or(query.after).unwrap_or(0);
                query.after = Some(position);
                query.tail = None;
                for event in page.events {
                    yield event;
                }
                if ended {
                    return;
                }
                if position + 1 >= seen && changed.changed().await.is_err() {
                    return;
                }
            }
        }))
    }

    /// The time of the last stored line of a container: where its collector goes on.
    pub fn last_of(&self, stream: LogStream, container: &str) -> io::Result<Option<DateTime<Utc>>> {
        let segments = self.stream(stream)?.lock().opened.segments.clone();
        for segment in segments.iter().rev() {
            let bytes = fs::read(&segment.path).unwrap_or_default();
            if let Some(last) = record::parse(&bytes).filter(|record| record.container == container).last() {
                return Ok(Some(last.at()));
            }
        }
        Ok(None)
    }

    /// Deletes lines before the time. Answers the bytes freed.
    pub fn purge(&self, stream: Option<LogStream>, before: DateTime<Utc>) -> io::Result<u64> {
        let streams = match stream {
            Some(stream) => vec![stream],
            None => self.on_disk()?,
        };
        let before_us = before.timestamp_micros();
        let mut freed = 0;
        for name in streams {
            let stream = self.stream(name)?;
            let mut inner = stream.lock();
            for segment in &mut inner.opened.segments {
                freed += segment::rewrite(segment, |record| record.at_us >= before_us)?;
                if segment.size_bytes == 0 {
                    fs::remove_file(&segment.path)?;
                }
            }
            let had_some = !inner.opened.segments.is_empty();
            inner.opened.segments.retain(|segment| segment.size_bytes > 0);
            if had_some && inner.opened.segments.is_empty() {
                // Its name keeps the offset.
                let (segment, _) = segment::create(&stream.folder, inner.opened.next)?;
                inner.opened.segments.push(segment);
            }
            inner.file = None;
            let is_over = inner.opened.ended.is_some() && inner.opened.segments.iter().all(|segment| segment.size_bytes == 0);
            drop(inner);
            if is_over {
                self.remove(name)?;
            }
        }
        Ok(freed)
    }

    /// Deletes a stream whole. Answers the bytes freed.
    pub fn remove(&self, name: LogStream) -> io::Result<u64> {
        let stream = self.streams.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        let folder = self.folder_of(name);
        let bytes = stream.map_or(0, |stream| stream.lock().opened.segments.iter().map(|segment| segment.size_bytes).sum());
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(bytes),
        }
    }

    fn on_disk(&self) -> io::Result<Vec<LogStream>> {
        let mut found = Vec::new();
        for (kind, parse) in [
            ("deployment", (|id: &str| id.parse().ok().map(LogStream::Deployment)) as fn(&str) -> Option<LogStream>),
            ("service", |id| id.parse().ok().map(LogStream::Service)),
            ("run", |id| id.parse().ok().map(LogStream::Run)),
        ] {
            let Ok(entries) = fs::read_dir(self.folder.join(kind)) else { continue };
            for entry in entries {
                found.extend(entry?.file_name().to_str().and_then(parse));
            }
        }
        Ok(found)
    }

    fn folder_of(&self, stream: LogStream) -> PathBuf {
        match stream {
            LogStream::Deployment(id) => self.folder.join("deployment").join(id.to_string()),
            LogStream::Service(id) => self.folder.join("service").join(id.to_string()),
            LogStream::Run(id) => self.folder.join("run").join(id.to_string()),
        }
    }

    fn stream(&self, name: LogStream) -> io::Result<Arc<Stream>> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = streams.get(&name) {
            return Ok(Arc::clone(stream));
        }
        let folder = self.folder_of(name);
        let opened = segment::open(&folder)?;
        let (changed, _) = watch::channel(opened.next);
        let stream = Arc::new(Stream { folder, inner: Mutex::new(Inner { opened, file: None }), changed });
        streams.insert(name, Arc::clone(&stream));
        Ok(stream)
    }
}

/// What a person reads of an error of the store.
pub fn failure(error: &io::Error) -> Failure {
    let cause = if error.kind() == io::ErrorKind::StorageFull { Cause::DiskFull } else { Cause::Internal };
    Failure::new(cause, Step::Record, format!("The log could not be read or written: {error}."), "Check the disk of the server.")
}

fn cut(mut text: String) -> String {
    if text.len() > LINE_BYTES_MAX {
        let end = (0..=LINE_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

fn drop_oldest(segments: &mut Vec<Segment>, bytes_max: u64) {
    while segments.len() > 1 && segments.iter().map(|segment| segment.size_bytes).sum::<u64>() > bytes_max {
        let oldest = segments.remove(0);
        if let Err(error) = fs::remove_file(&oldest.path) {
            tracing::warn!(path = %oldest.path.display(), "an old log file could not be removed: {error}");
        }
    }
}

fn matches(record: &Record, query: &LogQuery) -> bool {
    let at = record.at();
    let in_time = query.since.is_none_or(|since| at >= since) && query.until.is_none_or(|until| at < until);
    let text = query.contains.as_ref().is_none_or(|part| record.text.contains(part.as_str()));
    record.end.is_some() || (in_time && text)
}

fn page_of(segments: &[Segment], next: u64, query: &LogQuery, limit: usize) -> LogPage {
    let after = query.after.unwrap_or(0);
    // The last segment that begins at or before the wanted offset.
    let begin = segments.partition_point(|segment| segment.first <= after + 1).saturating_sub(1);
    let mut page = LogPage { events: Vec::new(), next: query.after, ended: false };
    for segment in segments.get(begin..).unwrap_or_default() {
        let bytes = fs::read(&segment.path).unwrap_or_default();
        for record in record::parse(&bytes).filter(|record| record.offset > after && record.offset < next) {
            if page.events.len() >= limit {
                return page;
            }
            page.next = Some(record.offset);
            if matches(&record, query) {
                page.events.push(record.event());
            }
        }
    }
    // Lines that were purged at the end do not hold a follower back.
    page.next = Some(page.next.unwrap_or(0).max(next.saturating_sub(1)));
    page
}

fn tail_of(segments: &[Segment], next: u64, query: &LogQuery, count: usize) -> LogPage {
    let mut events = Vec::new();
    for segment in segments.iter().rev() {
        let bytes = fs::read(&segment.path).unwrap_or_default();
        let found: Vec<Record> = record::parse(&bytes).filter(|record| record.offset < next && matches(record, query)).collect();
        events.extend(found.into_iter().rev().map(Record::event));
        if events.len() >= count {
            break;
        }
    }
    events.truncate(count);
    events.reverse();
    LogPage { events, next: Some(next.saturating_sub(1)), ended: false }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

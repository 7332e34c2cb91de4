//! Access logs: one file for each service that wants one, JSON lines, bounded in size and in rate. A writer of its own takes
//! the lines, so that a slow disk slows no request; what does not fit is dropped and counted.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

use tokio::sync::mpsc;

use crate::wire::RequestLine;

/// Lines of one service in one second.
pub const LINES_PER_SECOND_MAX: u64 = 500;
/// Bytes of one file; the one before it is kept.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Lines on their way to the disk, all services together.
pub const QUEUE_LINES_MAX: usize = 8_192;
/// Bytes that are read for a look at the end of a log.
pub const TAIL_BYTES_MAX: u64 = 1024 * 1024;
/// Lines of one look.
pub const TAIL_LINES_MAX: usize = 1_000;
/// Files held open; above it all are closed and opened again when needed.
const OPEN_MAX: usize = 128;
/// Lines written between two looks at other work.
const BATCH_LINES: usize = 512;

/// Lines that a service may still write in this second.
#[derive(Debug, Default)]
pub struct Budget {
    second: AtomicI64,
    used: AtomicU64,
    pub dropped: AtomicU64,
}

impl Budget {
    pub fn take(&self, now_ms: i64) -> bool {
        let second = now_ms / 1_000;
        if self.second.swap(second, Relaxed) != second {
            self.used.store(0, Relaxed);
        }
        let has_room = self.used.fetch_add(1, Relaxed) < LINES_PER_SECOND_MAX;
        if !has_room {
            self.dropped.fetch_add(1, Relaxed);
        }
        has_room
    }
}

#[derive(Debug)]
struct Entry {
    service: String,
    line: RequestLine,
}

/// Where lines are handed in; cheap to clone.
#[derive(Debug, Clone)]
pub struct AccessLogs {
    folder: PathBuf,
    queue: mpsc::Sender<Entry>,
}

/// Takes the lines to the disk; ends when every [`AccessLogs`] is gone.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    queue: mpsc::Receiver<Entry>,
}

pub fn open(state_dir: &Path) -> io::Result<(AccessLogs, Writer)> {
    let folder = state_dir.join("access");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let (sender, receiver) = mpsc::channel(QUEUE_LINES_MAX);
    Ok((AccessLogs { folder: folder.clone(), queue: sender }, Writer { folder, queue: receiver }))
}

impl AccessLogs {
    /// `false`: the disk does not keep up, the line is lost.
    pub fn add(&self, service: &str, line: RequestLine) -> bool {
        self.queue.try_send(Entry { service: service.to_owned(), line }).is_ok()
    }

    /// The last lines, oldest first; reads a bounded part of the file. `service` is a valid id.
    pub fn tail(&self, service: &str, lines_max: usize) -> io::Result<Vec<RequestLine>> {
        let mut text = Vec::new();
        for name in [previous(service), current(service)] {
            match File::open(self.folder.join(name)) {
                Ok(mut file) => {
                    let length = file.metadata()?.len();
                    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES_MAX)))?;
                    file.take(TAIL_BYTES_MAX).read_to_end(&mut text)?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        // The first line may be cut in half; it does not parse then.
        let mut lines: Vec<RequestLine> = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let surplus = lines.len().saturating_sub(lines_max.min(TAIL_LINES_MAX));
        Ok(lines.split_off(surplus))
    }

    /// Removes what was logged of a service.
    pub fn forget(&self, service: &str) -> io::Result<()> {
        for name in [previous(service), current(service)] {
            match fs::remove_file(self.folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Writer {
    pub async fn run(mut self) {
        let mut files = HashMap::new();
        let mut batch = Vec::with_capacity(BATCH_LINES);
        while self.queue.recv_many(&mut batch, BATCH_LINES).await > 0 {
            let folder = self.folder.clone();
            let entries = std::mem::take(&mut batch);
            let written = tokio::task::spawn_blocking(move || {
                let result = write_all(&folder, &mut files, &entries);
                (files, result)
            });
            match written.await {
                Ok((kept, result)) => {
                    files = kept;
                    if let Err(error) = result {
                        tracing::warn!(%error, "lines of an access log are lost");
                        files.clear();
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the writer of access logs broke off");
                    files = HashMap::new();
                }
            }
        }
    }
}

#[derive(Debug)]
struct Opened {
    file: File,
    bytes: u64,
}

fn write_all(folder: &Path, files: &mut HashMap<String, Opened>, entries: &[Entry]) -> io::Result<()> {
    let mut texts: HashMap<&str, Vec<u8>> = HashMap::new();
    for entry in entries {
        let text = texts.entry(&entry.service).or_default();
        serde_json::to_writer(&mut *text, &entry.line).map_err(io::Error::other)?;
        text.push(b'\n');
    }
    for (service, text) in texts {
        if files.len() >= OPEN_MAX {
            files.clear();
        }
        if files.get(service).is_some_and(|opened| opened.bytes >= FILE_BYTES_MAX) {
            files.remove(service);
            fs::rename(folder.join(current(service)), folder.join(previous(service)))?;
        }
        let opened = match files.get_mut(service) {
            Some(opened) => opened,
            None => {
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(folder.join(current(service)))?;
                let bytes = file.metadata()?.len();
                files.entry(service.to_owned()).or_insert(Opened { file, bytes })
            }
        };
        opened.file.write_all(&text)?;
        opened.bytes += text.len() as u64;
    }
    Ok(())
}

fn current(service: &str) -> String {
    format!("{service}.jsonl")
}

fn previous(service: &str) -> String {
    format!("{service}.1.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_turn_over_and_the_tail_is_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let (logs, writer) = open(folder.path()).unwrap();
        let mut files = HashMap::new();
        let line = |at_ms| RequestLine { at_ms, path: "/".repeat(500), ..RequestLine::default() };
        for batch in 0..60 {
            let entries: Vec<Entry> = (0..500).map(|index| Entry { service: "svc".into(), line: line(batch * 500 + index) }).collect();
            write_all(&writer.folder, &mut files, &entries).unwrap();
        }
        let total: u64 = fs::read_dir(&writer.folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(total < 2 * FILE_BYTES_MAX + 1024 * 1024, "{total}");
        let tail = logs.tail("svc", 50).unwrap();
        assert_eq!(tail.iter().map(|line| line.at_ms).collect::<Vec<_>>(), (29_950..30_000).collect::<Vec<_>>());
        assert!(logs.tail("other", 50).unwrap().is_empty());
        logs.forget("svc").unwrap();
        assert!(logs.tail("svc", 50).unwrap().is_empty());
    }

    #[test]
    fn a_service_has_a_budget_of_lines() {
        let budget = Budget::default();
        let taken = (0..2_000).filter(|_| budget.take(1_000)).count() as u64;
        assert_eq!((taken, budget.dropped.load(Relaxed)), (LINES_PER_SECOND_MAX, 2_000 - LINES_PER_SECOND_MAX));
        assert!(budget.take(2_000));
    }
}

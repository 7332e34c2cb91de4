//! Lines of output on their way to a log: split, masked, handed on.

use async_trait::async_trait;

use crate::mask::Masker;
use crate::protocol::LogChannel;

/// A longer line is cut into pieces of this length.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// Where lines go. Waiting in `line` is the back-pressure.
#[async_trait]
pub trait LineSink: Send + Sync {
    /// `origin` is the step's name, `text` one masked line without its end.
    async fn line(&self, channel: LogChannel, origin: &str, text: &str);
}

/// Drops every line.
pub struct NoLines;

#[async_trait]
impl LineSink for NoLines {
    async fn line(&self, _channel: LogChannel, _origin: &str, _text: &str) {}
}

/// Keeps every line in memory; for tests.
#[derive(Default)]
pub struct KeptLines(std::sync::Mutex<Vec<String>>);

impl KeptLines {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl LineSink for KeptLines {
    async fn line(&self, _channel: LogChannel, _origin: &str, text: &str) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(text.to_owned());
    }
}

/// A sink with its channel, origin and masker.
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    pub sink: &'a dyn LineSink,
    pub masker: &'a Masker,
    pub channel: LogChannel,
    pub origin: &'a str,
}

impl Lines<'_> {
    /// Masks one whole line and hands it on.
    pub async fn say(&self, text: &str) {
        self.sink.line(self.channel, self.origin, &self.masker.mask(text)).await;
    }
}

/// Turns chunks into lines: `\n`, `\r\n` and a lone `\r` (progress bars) end a line; empty pieces of `\r` are dropped.
#[derive(Debug, Default)]
pub struct LineSplitter {
    rest: Vec<u8>,
    after_return: bool,
}

impl LineSplitter {
    /// Answers the lines that are complete now.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in chunk {
            match byte {
                b'\n' if self.after_return && self.rest.is_empty() => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    lines.push(self.take());
                }
                _ => {
                    self.after_return = false;
                    self.rest.push(byte);
                    if self.rest.len() >= LINE_BYTES_MAX {
                        lines.push(self.take());
                    }
                }
            }
        }
        lines
    }

    /// The last line when it had no end.
    pub fn finish(&mut self) -> Option<String> {
        (!self.rest.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_the_chunks_fall() {
        let text = b"one\r\ntwo\nprogress 1\rprogress 2\r\n\nlast";
        let expected = ["one", "two", "progress 1", "progress 2", "", "last"];
        for size in 1..text.len() {
            let mut splitter = LineSplitter::default();
            let mut lines: Vec<String> = text.chunks(size).flat_map(|chunk| splitter.push(chunk)).collect();
            lines.extend(splitter.finish());
            assert_eq!(lines, expected, "chunks of {size}");
        }
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut splitter = LineSplitter::default();
        assert_eq!(splitter.push(&vec![b'x'; 3 * LINE_BYTES_MAX + 1]).len(), 3);
        assert_eq!(splitter.finish().map(|line| line.len()), Some(1));
    }
}

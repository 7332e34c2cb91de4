//! Following a log over server-sent events: resumes after the last line when the connection breaks, without loss or repetition.

use std::time::Duration;

use contract::logs::LogLine;
use futures_util::StreamExt;
use serde_json::Value;

use crate::api::Api;
use crate::failure::{Failure, Result};

const PAUSE_FIRST: Duration = Duration::from_millis(300);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Broken connections in a row, without a line between them.
const BREAKS_MAX: u32 = 30;
/// Longer than the instance's heartbeat: a silent connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(45);
const EVENT_BYTES_MAX: usize = 1024 * 1024;

pub enum Event {
    Line(LogLine),
    Gap { dropped: u64 },
    End { status: String },
}

/// Calls `take` with each event until the stream says that it has ended.
pub async fn follow(api: &Api, path: &str, mut take: impl FnMut(Event)) -> Result<()> {
    let mut last: Option<String> = None;
    let mut breaks = 0;
    let mut pause = PAUSE_FIRST;
    loop {
        let result = once(api, path, &mut last, &mut |event| {
            breaks = 0;
            pause = PAUSE_FIRST;
            take(event);
        })
        .await;
        match result {
            Ok(true) => return Ok(()),
            Ok(false) | Err(Failure::Unreachable { .. }) if breaks < BREAKS_MAX => {}
            Err(Failure::Refused(problem)) if problem.retryable && breaks < BREAKS_MAX => {}
            Ok(false) => return Err(Failure::other("the log breaks off again and again; the work itself goes on: seaway status")),
            Err(failure) => return Err(failure),
        }
        breaks += 1;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// One connection; true when the stream has come to its end.
async fn once(api: &Api, path: &str, last: &mut Option<String>, take: &mut impl FnMut(Event)) -> Result<bool> {
    let mut chunks = api.stream(path, last.as_deref()).await?.bytes_stream();
    let mut parser = Parser::default();
    loop {
        let Ok(Some(Ok(chunk))) = tokio::time::timeout(SILENCE_MAX, chunks.next()).await else { return Ok(false) };
        for message in parser.push(&chunk) {
            if let Some(id) = message.id {
                *last = Some(id);
            }
            let data: Value = serde_json::from_str(&message.data).unwrap_or_default();
            match message.event.as_str() {
                "log" => {
                    if let Ok(line) = serde_json::from_value(data) {
                        take(Event::Line(line));
                    }
                }
                "gap" => take(Event::Gap { dropped: data.get("dropped").and_then(Value::as_u64).unwrap_or(0) }),
                "end" => {
                    take(Event::End { status: data.get("status").and_then(Value::as_str).unwrap_or_default().to_owned() });
                    return Ok(true);
                }
                _ => {}
            }
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    event: String,
    id: Option<String>,
    data: String,
}

/// The event stream format (WHATWG), as far as Seaway uses it.
#[derive(Default)]
struct Parser {
    rest: Vec<u8>,
    message: Message,
}

impl Parser {
    fn push(&mut self, chunk: &[u8]) -> Vec<Message> {
        self.rest.extend_from_slice(chunk);
        let mut messages = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                let message = std::mem::take(&mut self.message);
                if !message.event.is_empty() || !message.data.is_empty() {
                    messages.push(message);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => self.message.event = value.to_owned(),
                "id" => self.message.id = Some(value.to_owned()),
                "data" => {
                    if !self.message.data.is_empty() {
                        self.message.data.push('\n');
                    }
                    self.message.data.push_str(value);
                }
                // Comments (heartbeats) and fields that we do not know.
                _ => {}
            }
        }
        if self.rest.len() > EVENT_BYTES_MAX {
            self.rest.clear();
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_they_are_cut() {
        let text = "retry: 2000\n\n: alive\n\nevent: log\nid: 7\ndata: {\"a\":1}\n\nevent: end\r\ndata: one\r\ndata: two\r\n\r\n";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let messages: Vec<Message> = text.as_bytes().chunks(size).flat_map(|chunk| parser.push(chunk)).collect();
            assert_eq!(
                messages,
                [
                    Message { event: "log".into(), id: Some("7".into()), data: "{\"a\":1}".into() },
                    Message { event: "end".into(), id: None, data: "one\ntwo".into() }
                ],
                "chunks of {size}"
            );
        }
    }
}

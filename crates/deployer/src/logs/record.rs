//! One line of a stream as it stands on disk: JSON, short keys, ended by a newline. A line without its newline was torn by a
//! crash and is not read.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::protocol::{LogChannel, LogEvent, LogLine};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    #[serde(rename = "o")]
    pub offset: u64,
    /// Microseconds since 1970.
    #[serde(rename = "t")]
    pub at_us: i64,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<LogChannel>,
    #[serde(rename = "r", default, skip_serializing_if = "String::is_empty")]
    pub origin: String,
    #[serde(rename = "x", default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Container that wrote it; the resume point of the collector.
    #[serde(rename = "i", default, skip_serializing_if = "String::is_empty")]
    pub container: String,
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
    #[serde(rename = "z", default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
}

impl Record {
    pub fn at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.at_us).unwrap_or_default()
    }

    pub fn event(self) -> LogEvent {
        let at = self.at();
        match (self.end, self.dropped) {
            (Some(status), _) => LogEvent::End { status },
            (None, Some(dropped)) => LogEvent::Gap { offset: self.offset, dropped },
            (None, None) => LogEvent::Line(LogLine {
                offset: self.offset,
                at,
                channel: self.channel.unwrap_or(LogChannel::Platform),
                origin: self.origin,
                text: self.text,
            }),
        }
    }
}

/// Complete records of a segment, in order; a line that does not parse is left out.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = Record> + '_ {
    let complete = memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1);
    bytes
        .get(..complete)
        .unwrap_or_default()
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .filter_map(|line| serde_json::from_slice(line).ok())
}

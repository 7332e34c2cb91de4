//! Log lines.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Position in the stream; resume after it.
    pub offset: u64,
    pub at: DateTime<Utc>,
    /// `platform`, `stdout` or `stderr`.
    pub channel: String,
    /// `web.1`, or the step of a deployment.
    pub origin: String,
    pub text: String,
    /// Lines dropped before this one because a limit was reached; then `text` says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    pub data: Vec<LogLine>,
    /// Pass as `after` to go on.
    pub next_after: Option<u64>,
    /// Nothing more will come.
    pub ended: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogsQuery {
    /// Stream new lines as server-sent events (`Accept: text/event-stream`) or NDJSON (`application/x-ndjson`).
    #[serde(default)]
    pub follow: bool,
    /// Lines after this offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The last n lines, at most 10000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// Only lines that contain this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

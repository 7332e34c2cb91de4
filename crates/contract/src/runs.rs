//! One-off commands and terminals.

use chrono::{DateTime, Utc};
use domain::id::{ReleaseId, RunId, ServiceId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub const RUN_TIMEOUT_SECONDS_DEFAULT: u32 = 3600;
pub const RUN_TIMEOUT_SECONDS_MAX: u32 = 24 * 3600;

/// Runs a command once in a fresh replica of the current release.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateRun {
    /// Argument list; no shell is involved unless it is named: `["sh", "-c", "…"]`.
    pub command: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Run {
    pub id: RunId,
    pub service: ServiceId,
    pub release: ReleaseId,
    pub command: Vec<String>,
    /// `queued`, `running`, `succeeded`, `failed`, `canceled`.
    pub state: String,
    pub exit_code: Option<i64>,
    pub reason: Option<String>,
    pub author: Option<String>,
    pub timeout_seconds: u32,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// Asks for a terminal in a running replica.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTerminal {
    /// `web.1`; the first running one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    /// The first of bash, sh that the image has when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

/// A ticket that opens one WebSocket within 30 seconds.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Terminal {
    pub ticket: String,
    /// Path of the WebSocket; the ticket goes into the first message, never into the address.
    pub path: String,
    pub expires_at: DateTime<Utc>,
}

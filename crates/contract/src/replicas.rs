//! What really runs.

use chrono::{DateTime, Utc};
use domain::deployment::ServiceState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Replica {
    /// `web.1`.
    pub name: String,
    pub process: String,
    pub version: u64,
    /// `created`, `starting`, `running`, `unhealthy`, `restarting`, `crashed`, `stopped`.
    pub state: String,
    pub restarts: u64,
    pub exit_code: Option<i64>,
    pub out_of_memory: bool,
    pub started_at: Option<DateTime<Utc>>,
}

/// The badge of a service with what is behind it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    pub state: ServiceState,
    pub reason: String,
    pub url: Option<String>,
    pub version: Option<u64>,
    pub replicas: Vec<Replica>,
}

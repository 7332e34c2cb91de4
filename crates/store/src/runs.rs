//! One-off commands.

use chrono::{DateTime, Utc};
use domain::id::{JobId, OrganizationId, ReleaseId, RunId, ServiceId};
use serde::{Deserialize, Serialize};

use crate::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Canceled,
}

crate::text_value!(RunState);

row! {
    pub struct RunRow {
        pub id: RunId,
        pub organization_id: OrganizationId,
        pub service_id: ServiceId,
        pub release_id: ReleaseId,
        pub command: Json<Vec<String>>,
        pub state: RunState,
        pub timeout_seconds: i64,
        pub exit_code: Option<i64>,
        pub reason: Option<String>,
        pub job_id: Option<JobId>,
        pub author_kind: String,
        pub author_id: Option<String>,
        pub author_name: Option<String>,
        pub created_at: DateTime<Utc>,
        pub started_at: Option<DateTime<Utc>>,
        pub finished_at: Option<DateTime<Utc>>,
    }
}

pub async fn insert(write: &mut Write, row: &RunRow) -> Result<(), StoreError> {
    let text = "INSERT INTO runs (id, organization_id, service_id, release_id, command, state, timeout_seconds, job_id, author_kind, author_id, \
                author_name, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    execute!(
        write,
        text,
        row.id,
        row.organization_id,
        row.service_id,
        row.release_id,
        &row.command,
        row.state,
        row.timeout_seconds,
        row.job_id,
        &row.author_kind,
        &row.author_id,
        &row.author_name,
        row.created_at
    )
    .await
    .map(|_| ())
}

pub async fn find(unit: &mut impl Unit, organization: OrganizationId, id: RunId) -> Result<Option<RunRow>, StoreError> {
    fetch_optional!(unit, RunRow, "SELECT {columns} FROM runs WHERE organization_id = $1 AND id = $2", organization, id).await
}

/// For the job and the locator, which learn the organization from the row.
pub async fn find_any(unit: &mut impl Unit, id: RunId) -> Result<Option<RunRow>, StoreError> {
    fetch_optional!(unit, RunRow, "SELECT {columns} FROM runs WHERE id = $1", id).await
}

pub async fn list(
    unit: &mut impl Unit,
    organization: OrganizationId,
    service: ServiceId,
    page: &Page,
) -> Result<Listing<RunRow>, StoreError> {
    let filter = Filter::of("organization_id = ?", organization).and("service_id = ?", service);
    fetch_page(unit, "SELECT {columns} FROM runs", filter, Order::Newest("created_at"), page).await
}

pub async fn start(write: &mut Write, id: RunId, now: DateTime<Utc>) -> Result<(), StoreError> {
    execute!(
        write,
        "UPDATE runs SET state = 'running', started_at = COALESCE(started_at, $2) WHERE id = $1 AND finished_at IS NULL",
        id,
        now
    )
    .await
    .map(|_| ())
}

pub async fn end(
    write: &mut Write,
    id: RunId,
    state: RunState,
    exit_code: Option<i64>,
    reason: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let text = "UPDATE runs SET state = $2, exit_code = $3, reason = $4, finished_at = $5 WHERE id = $1 AND finished_at IS NULL";
    execute!(write, text, id, state, exit_code, reason, now).await.map(|_| ())
}

/// Ids of every run of a service that is being deleted.
pub async fn list_ids(unit: &mut impl Unit, organization: OrganizationId, service: ServiceId) -> Result<Vec<RunId>, StoreError> {
    let text = "SELECT id AS value FROM runs WHERE organization_id = $1 AND service_id = $2 ORDER BY id";
    Ok(fetch_all!(unit, (RunId,), text, organization, service).await?.into_iter().map(|(id,)| id).collect())
}

/// Everything of a service that is being deleted.
pub async fn delete_of_service(write: &mut Write, organization: OrganizationId, service: ServiceId) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM runs WHERE organization_id = $1 AND service_id = $2", organization, service).await
}

//! Operations: what a client can watch of work that goes on after the answer.

use chrono::{DateTime, Utc};
use domain::id::{JobId, OperationId, OrganizationId, ProjectId};
use domain::{Clock, Entropy};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Filter, Json, Listing, Order, Page, StoreError, Unit, Write, execute, fetch_optional, fetch_page, row};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    Pending,
    Running,
    Succeeded,
    Failed,
    Canceled,
}

crate::text_value!(OperationState);

impl OperationState {
    pub fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}

row! {
    pub struct OperationRow {
        pub id: OperationId,
        pub organization_id: Option<OrganizationId>,
        /// `service.delete`
        pub kind: String,
        pub subject_kind: Option<String>,
        pub subject_id: Option<String>,
        pub project_id: Option<ProjectId>,
        pub job_id: Option<JobId>,
        pub state: OperationState,
        pub result: Option<Json<Value>>,
        /// A problem document.
        pub error: Option<Json<Value>>,
        pub created_at: DateTime<Utc>,
        pub updated_at: DateTime<Utc>,
        pub finished_at: Option<DateTime<Utc>>,
    }
}

/// An operation to be started.
#[derive(Debug, Clone)]
pub struct NewOperation {
    pub organization: Option<OrganizationId>,
    pub kind: &'static str,
    /// Kind and id of what it is about.
    pub subject: Option<(&'static str, String)>,
    /// The project it is about; members who do not see it do not see the operation.
    pub project: Option<ProjectId>,
    pub job: Option<JobId>,
}

pub async fn create(
    write: &mut Write,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    operation: NewOperation,
) -> Result<OperationId, StoreError> {
    let id = OperationId::new(clock, entropy);
    let (subject_kind, subject_id) = operation.subject.unzip();
    let text = "INSERT INTO operations (id, organization_id, kind, subject_kind, subject_id, job_id, state, created_at, updated_at, project_id) \
                VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7, $7, $8)";
    execute!(
        write,
        text,
        id,
        operation.organization,
        operation.kind,
        subject_kind,
        subject_id,
        operation.job,
        clock.now(),
        operation.project
    )
    .await?;
    Ok(id)
}

/// The operation of this organization (`None`: of the instance).
pub async fn find(unit: &mut impl Unit, organization: Option<OrganizationId>, id: OperationId) -> Result<Option<OperationRow>, StoreError> {
    let text = "SELECT {columns} FROM operations WHERE id = $1 AND organization_id IS NOT DISTINCT FROM $2";
    fetch_optional!(unit, OperationRow, text, id, organization).await
}

/// For the locator, which learns the organization from the row.
pub async fn find_any(unit: &mut impl Unit, id: OperationId) -> Result<Option<OperationRow>, StoreError> {
    fetch_optional!(unit, OperationRow, "SELECT {columns} FROM operations WHERE id = $1", id).await
}

/// Newest first.
pub async fn list(unit: &mut impl Unit, organization: OrganizationId, page: &Page) -> Result<Listing<OperationRow>, StoreError> {
    let filter = Filter::of("organization_id = ?", organization);
    fetch_page(unit, "SELECT {columns} FROM operations", filter, Order::Newest("created_at"), page).await
}

/// Says that the work has begun. Repeating it is harmless; an ended operation stays as it is.
pub async fn start(write: &mut Write, id: OperationId, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE operations SET state = 'running', updated_at = $2 WHERE id = $1 AND state = 'pending'";
    execute!(write, text, id, now).await.map(|_| ())
}

/// Says how far it is. An ended operation stays as it is.
pub async fn note(write: &mut Write, id: OperationId, progress: &Value, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE operations SET state = 'running', result = $2, updated_at = $3 WHERE id = $1 AND state IN ('pending', 'running')";
    execute!(write, text, id, Json(progress), now).await.map(|_| ())
}

/// Ends it with a result or an error. `Stale` when it has ended before.
pub async fn finish(
    write: &mut Write,
    id: OperationId,
    state: OperationState,
    result: Option<&Value>,
    error: Option<&Value>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let text = "UPDATE operations SET state = $2, result = $3, error = $4, updated_at = $5, finished_at = $5 \
                WHERE id = $1 AND state IN ('pending', 'running')";
    match execute!(write, text, id, state, result, error, now).await? {
        1 => Ok(()),
        _ => Err(StoreError::Stale { row: "operations" }),
    }
}

/// Deletes operations that ended before the given time. Returns how many.
pub async fn delete_finished(write: &mut Write, before: DateTime<Utc>) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM operations WHERE finished_at < $1", before).await
}

//! Deployments and their durable steps.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::deployment::{Failure, Phase, SkipReason, Step, Trigger};
use domain::id::{DeploymentId, JobId, OrganizationId, ReleaseId, ServiceId, UploadId};
use serde::{Deserialize, Serialize};

use crate::*;

/// What a deployment does before the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Builds an image from the source.
    Build,
    /// Makes a new release of a known image: changed configuration or rollback.
    Release,
    /// Replaces the replicas of the present release.
    Restart,
}

crate::text_value!(Work);

/// A change of replicas and of nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formation {
    /// Replicas by process type, of those that change.
    pub processes: BTreeMap<String, u32>,
    /// The service's revision before and after the change was written into its settings.
    pub revision_before: i64,
    pub revision: i64,
}

impl Formation {
    /// Takes in an older change that this one replaces before it ran.
    pub fn absorb(&mut self, older: &Self) {
        for (name, replicas) in &older.processes {
            self.processes.entry(name.clone()).or_insert(*replicas);
        }
        // Something else was changed in between: it stays a draft.
        if older.revision == self.revision_before {
            self.revision_before = older.revision_before;
        }
    }

    /// The service's revision that a release has which is made of one with `base`.
    pub fn revision_after(&self, base: i64) -> i64 {
        if (self.revision_before..self.revision).contains(&base) { self.revision } else { base }
    }
}

row! {
    pub struct DeploymentRow {
        pub id: DeploymentId,
        pub organization_id: OrganizationId,
        pub service_id: ServiceId,
        pub delivery: String,
        pub trigger_kind: Trigger,
        pub work: Work,
        pub title: Option<String>,
        pub reference: Option<String>,
        pub commit_id: Option<String>,
        pub upload_id: Option<UploadId>,
        pub use_cache: bool,
        pub target_release_id: Option<ReleaseId>,
        /// With it a release keeps everything of the one that serves but these replicas.
        pub formation: Option<Json<Formation>>,
        pub author_kind: String,
        pub author_id: Option<String>,
        pub author_name: Option<String>,
        pub fence: i64,
        pub job_id: Option<JobId>,
        pub phase: Phase,
        pub built: Option<Json<serde_json::Value>>,
        pub release_id: Option<ReleaseId>,
        pub failure: Option<Json<Failure>>,
        pub skip_reason: Option<SkipReason>,
        pub superseded_by: Option<DeploymentId>,
        pub cancel_requested_at: Option<DateTime<Utc>>,
        pub canceled_by: Option<String>,
        pub healthy_after_ms: Option<i64>,
        pub requests_cut: Option<i64>,
        pub gap_ms: Option<i64>,
        pub warning: Option<String>,
        pub created_at: DateTime<Utc>,
        pub started_at: Option<DateTime<Utc>>,
        pub finished_at: Option<DateTime<Utc>>,
    }
}

row! {
    pub struct StepRow {
        pub deployment_id: DeploymentId,
        pub step: Step,
        pub attempt: i64,
        pub intent_at: DateTime<Utc>,
        pub outcome_at: Option<DateTime<Utc>>,
        pub note: Option<String>,
    }
}

/// # Errors
/// `Conflict` of `deployments_delivery` when this delivery was taken in before.
pub async fn insert(write: &mut Write, row: &DeploymentRow) -> Result<(), StoreError> {
    let text = "INSERT INTO deployments (id, organization_id, service_id, delivery, trigger_kind, work, title, reference, commit_id, \
                upload_id, use_cache, target_release_id, author_kind, author_id, author_name, fence, job_id, phase, created_at, formation, warning) \
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)";
    execute!(
        write,
        text,
        row.id,
        row.organization_id,
        row.service_id,
        &row.delivery,
        row.trigger_kind,
        row.work,
        &row.title,
        &row.reference,
        &row.commit_id,
        row.upload_id,
        row.use_cache,
        row.target_release_id,
        &row.author_kind,
        &row.author_id,
        &row.author_name,
        row.fence,
        row.job_id,
        row.phase,
        row.created_at,
        &row.formation,
        &row.warning
    )
    .await
    .map(|_| ())
}

pub async fn find(unit: &mut impl Unit, organization: OrganizationId, id: DeploymentId) -> Result<Option<DeploymentRow>, StoreError> {
    fetch_optional!(unit, DeploymentRow, "SELECT {columns} FROM deployments WHERE organization_id = $1 AND id = $2", organization, id).await
}

/// The deployment that this delivery made, if it was taken in before.
pub async fn find_by_delivery(
    unit: &mut impl Unit,
    organization: OrganizationId,
    service: ServiceId,
    delivery: &str,
) -> Result<Option<DeploymentRow>, StoreError> {
    let text = "SELECT {columns} FROM deployments WHERE organization_id = $1 AND service_id = $2 AND delivery = $3";
    fetch_optional!(unit, DeploymentRow, text, organization, service, delivery).await
}

/// Where the deployment is; for those who wait for its end.
pub async fn find_phase(unit: &mut impl Unit, organization: OrganizationId, id: DeploymentId) -> Result<Option<Phase>, StoreError> {
    let text = "SELECT phase AS value FROM deployments WHERE organization_id = $1 AND id = $2";
    Ok(fetch_optional!(unit, (Phase,), text, organization, id).await?.map(|(phase,)| phase))
}

/// For the job and the locator, which learn the organization from the row.
pub async fn find_any(unit: &mut impl Unit, id: DeploymentId) -> Result<Option<DeploymentRow>, StoreError> {
    fetch_optional!(unit, DeploymentRow, "SELECT {columns} FROM deployments WHERE id = $1", id).await
}

pub async fn list_of_service(
    unit: &mut impl Unit,
    organization: OrganizationId,
    service: ServiceId,
    page: &Page,
) -> Result<Listing<DeploymentRow>, StoreError> {
    let filter = Filter::of("organization_id = ?", organization).and("service_id = ?", service);
    fetch_page(unit, "SELECT {columns} FROM deployments", filter, Order::Newest("created_at"), page).await
}

/// Every deployment of the organization, optionally only those that have not ended.
pub async fn list_of_organization(
    unit: &mut impl Unit,
    organization: OrganizationId,
    sight: &Sight,
    open: bool,
    page: &Page,
) -> Result<Listing<DeploymentRow>, StoreError> {
    let mut filter = Filter::of("organization_id = ?", organization);
    if open {
        filter = filter.and_all("finished_at IS NULL", Vec::new());
    }
    let filter = sight.of_things_of_services(filter);
    fetch_page(unit, "SELECT {columns} FROM deployments", filter, Order::Newest("created_at"), page).await
}

/// Deployments of a service that have not ended, oldest first.
pub async fn list_open(unit: &mut impl Unit, service: ServiceId) -> Result<Vec<DeploymentRow>, StoreError> {
    fetch_all!(
        unit,
        DeploymentRow,
        "SELECT {columns} FROM deployments WHERE service_id = $1 AND finished_at IS NULL ORDER BY created_at, id",
        service
    )
    .await
}

/// Every deployment that has not ended, of all organizations; for the sweeper.
pub async fn list_all_open(unit: &mut impl Unit) -> Result<Vec<DeploymentRow>, StoreError> {
    fetch_all!(unit, DeploymentRow, "SELECT {columns} FROM deployments WHERE finished_at IS NULL ORDER BY created_at, id").await
}

/// The newest deployments of many services at once are read one by one by their service; this is the last of one.
pub async fn find_last(unit: &mut impl Unit, service: ServiceId) -> Result<Option<DeploymentRow>, StoreError> {
    fetch_optional!(
        unit,
        DeploymentRow,
        "SELECT {columns} FROM deployments WHERE service_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1",
        service
    )
    .await
}

/// How the deployment before this one of the same service went: the newest that went live or failed.
pub async fn find_outcome_before(unit: &mut impl Unit, row: &DeploymentRow) -> Result<Option<DeploymentRow>, StoreError> {
    let text = "SELECT {columns} FROM deployments WHERE service_id = $1 AND finished_at IS NOT NULL AND phase IN ('live', 'failed') \
                AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT 1";
    fetch_optional!(unit, DeploymentRow, text, row.service_id, row.created_at, row.id).await
}

/// Moves an open deployment to a phase.
///
/// # Errors
/// `Stale` when it has ended.
pub async fn set_phase(write: &mut Write, id: DeploymentId, phase: Phase, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE deployments SET phase = $2, started_at = COALESCE(started_at, $3) WHERE id = $1 AND finished_at IS NULL";
    changed(execute!(write, text, id, phase, now).await?)
}

pub async fn set_built(write: &mut Write, id: DeploymentId, built: &serde_json::Value, commit: &str) -> Result<(), StoreError> {
    let text = "UPDATE deployments SET built = $2, commit_id = $3 WHERE id = $1 AND finished_at IS NULL";
    changed(execute!(write, text, id, Json(built), commit).await?)
}

pub async fn set_release(write: &mut Write, id: DeploymentId, release: ReleaseId) -> Result<(), StoreError> {
    changed(execute!(write, "UPDATE deployments SET release_id = $2 WHERE id = $1 AND finished_at IS NULL", id, release).await?)
}

pub async fn request_cancel(write: &mut Write, id: DeploymentId, by: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE deployments SET cancel_requested_at = COALESCE(cancel_requested_at, $2), canceled_by = COALESCE(canceled_by, $3) \
                WHERE id = $1 AND finished_at IS NULL";
    changed(execute!(write, text, id, now, by).await?)
}

/// How a deployment ends.
#[derive(Debug, Clone, Default)]
pub struct End {
    pub failure: Option<Failure>,
    pub skip_reason: Option<SkipReason>,
    pub superseded_by: Option<DeploymentId>,
    pub healthy_after_ms: Option<i64>,
    pub requests_cut: Option<i64>,
    pub gap_ms: Option<i64>,
    pub warning: Option<String>,
    /// For a deployment that nobody had asked to cancel before.
    pub canceled_by: Option<String>,
}

/// Ends a deployment, once.
///
/// # Errors
/// `Stale` when it has ended already.
pub async fn end(write: &mut Write, id: DeploymentId, phase: Phase, end: &End, now: DateTime<Utc>) -> Result<(), StoreError> {
    let text = "UPDATE deployments SET phase = $2, finished_at = $3, failure = $4, skip_reason = $5, superseded_by = $6, \
                healthy_after_ms = $7, requests_cut = $8, gap_ms = $9, warning = COALESCE($10, warning), canceled_by = COALESCE(canceled_by, $11) WHERE id = $1 AND finished_at IS NULL";
    let failure = end.failure.as_ref().map(Json);
    changed(
        execute!(
            write,
            text,
            id,
            phase,
            now,
            failure,
            end.skip_reason,
            end.superseded_by,
            end.healthy_after_ms,
            end.requests_cut,
            end.gap_ms,
            &end.warning,
            &end.canceled_by
        )
        .await?,
    )
}

/// Writes the intent of a step; a repeat after a crash counts another attempt. Answers the row: with an outcome, when an
/// earlier attempt had brought the step to its end.
pub async fn intend(write: &mut Write, id: DeploymentId, step: Step, now: DateTime<Utc>) -> Result<StepRow, StoreError> {
    let text = "INSERT INTO deployment_steps (deployment_id, step, attempt, intent_at) VALUES ($1, $2, 1, $3) \
                ON CONFLICT (deployment_id, step) DO UPDATE SET attempt = deployment_steps.attempt + 1 RETURNING {columns}";
    fetch_one!(write, StepRow, text, id, step, now).await
}

/// Writes the outcome of a step, once: `false` when it has one already, which stays.
pub async fn conclude(write: &mut Write, id: DeploymentId, step: Step, note: Option<&str>, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let text = "UPDATE deployment_steps SET outcome_at = $3, note = $4 WHERE deployment_id = $1 AND step = $2 AND outcome_at IS NULL";
    Ok(execute!(write, text, id, step, now, note).await? > 0)
}

/// Writes the outcome of every step that has none: a step whose effect was found done after a crash is not gone through again.
/// Answers how many there were.
pub async fn conclude_open(write: &mut Write, id: DeploymentId, note: &str, now: DateTime<Utc>) -> Result<u64, StoreError> {
    let text = "UPDATE deployment_steps SET outcome_at = $2, note = $3 WHERE deployment_id = $1 AND outcome_at IS NULL";
    execute!(write, text, id, now, note).await
}

/// The steps that were begun, in the order in which they are done.
pub async fn list_steps(unit: &mut impl Unit, id: DeploymentId) -> Result<Vec<StepRow>, StoreError> {
    let mut rows = fetch_all!(unit, StepRow, "SELECT {columns} FROM deployment_steps WHERE deployment_id = $1", id).await?;
    rows.sort_by_key(|row: &StepRow| row.step);
    Ok(rows)
}

/// Deletes ended deployments of a service but the newest `kept`; releases stay. Answers those deleted.
pub async fn prune(
    write: &mut Write,
    organization: OrganizationId,
    service: ServiceId,
    kept: i64,
) -> Result<Vec<DeploymentRow>, StoreError> {
    let text = "SELECT {columns} FROM deployments WHERE organization_id = $1 AND service_id = $2 AND finished_at IS NOT NULL \
                AND id NOT IN (SELECT id FROM deployments WHERE service_id = $2 ORDER BY created_at DESC, id DESC LIMIT $3)";
    let rows: Vec<DeploymentRow> = fetch_all!(write, DeploymentRow, text, organization, service, kept).await?;
    for row in &rows {
        execute!(write, "DELETE FROM deployments WHERE organization_id = $1 AND id = $2", organization, row.id).await?;
    }
    Ok(rows)
}

/// One that has ended, with its steps.
pub async fn delete(write: &mut Write, organization: OrganizationId, id: DeploymentId) -> Result<(), StoreError> {
    let text = "DELETE FROM deployments WHERE organization_id = $1 AND id = $2 AND finished_at IS NOT NULL";
    changed(execute!(write, text, organization, id).await?)
}

/// Ids of every deployment of a service that is being deleted.
pub async fn list_ids(unit: &mut impl Unit, organization: OrganizationId, service: ServiceId) -> Result<Vec<DeploymentId>, StoreError> {
    let text = "SELECT id AS value FROM deployments WHERE organization_id = $1 AND service_id = $2 ORDER BY id";
    Ok(fetch_all!(unit, (DeploymentId,), text, organization, service).await?.into_iter().map(|(id,)| id).collect())
}

/// Everything of a service that is being deleted.
pub async fn delete_of_service(write: &mut Write, organization: OrganizationId, service: ServiceId) -> Result<u64, StoreError> {
    execute!(write, "DELETE FROM deployments WHERE organization_id = $1 AND service_id = $2", organization, service).await
}

fn changed(rows: u64) -> Result<(), StoreError> {
    match rows {
        0 => Err(StoreError::Stale { row: "deployments" }),
        _ => Ok(()),
    }
}

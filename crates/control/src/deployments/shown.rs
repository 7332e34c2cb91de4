//! The row as the API shows it.

use contract::deployments::{Deployment, DeploymentStep};
use store::deployments::{DeploymentRow, StepRow};

/// What is not in the row.
#[derive(Default)]
pub(super) struct Around {
    pub version: Option<i64>,
    pub position: Option<u64>,
    pub url: Option<String>,
    pub steps: Vec<StepRow>,
}

pub(super) fn shown(row: DeploymentRow, around: Around) -> Deployment {
    let count = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
    Deployment {
        id: row.id,
        organization: row.organization_id,
        service: row.service_id,
        phase: row.phase,
        trigger: row.trigger_kind,
        work: crate::word(&row.work),
        title: row.title,
        reference: row.reference,
        commit: row.commit_id,
        author: row.author_name,
        release: row.release_id,
        version: count(around.version),
        failure: row.failure.map(|failure| failure.0),
        skip_reason: row.skip_reason,
        superseded_by: row.superseded_by,
        canceled_by: row.canceled_by,
        position: around.position,
        healthy_after_ms: count(row.healthy_after_ms),
        requests_cut: count(row.requests_cut),
        gap_ms: count(row.gap_ms),
        warning: row.warning,
        url: around.url,
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        steps: around
            .steps
            .into_iter()
            .map(|step| DeploymentStep {
                phase: step.step.phase(),
                step: step.step,
                attempt: u64::try_from(step.attempt).unwrap_or(1),
                started_at: step.intent_at,
                finished_at: step.outcome_at,
                note: step.note,
            })
            .collect(),
    }
}

//! Takes a deployment in: one row and one job in one unit, once per delivery; a newer one supersedes those that still wait.

use contract::Code;
use contract::deployments::Deployment;
use domain::deployment::{Phase, SkipReason, Trigger};
use domain::id::{DeploymentId, OrganizationId, ReleaseId, ServiceId, UploadId};
use serde_json::json;
use store::deployments::{DeploymentRow, End, Formation, Work};
use store::jobs::{NewJob, Pool};
use store::{Json, Write};

use super::job;
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

/// Deployments that may wait for one service.
const QUEUE_MAX: usize = 50;

/// What is asked for.
pub(crate) struct Request {
    pub organization: OrganizationId,
    pub service: ServiceId,
    /// Unique per cause: a second one with the same value is the same deployment.
    pub delivery: String,
    pub trigger: Trigger,
    pub work: Work,
    pub title: Option<String>,
    pub reference: Option<String>,
    pub commit: Option<String>,
    pub upload: Option<UploadId>,
    pub use_cache: bool,
    pub target: Option<ReleaseId>,
    /// Replicas that alone change.
    pub formation: Option<Json<Formation>>,
    /// What whoever asked should know; shown with the deployment.
    pub warning: Option<String>,
    pub author: Author,
}

impl Request {
    /// Without anything that only some deployments have.
    pub fn new(organization: OrganizationId, service: ServiceId, delivery: String, trigger: Trigger, work: Work, author: Author) -> Self {
        Self {
            organization,
            service,
            delivery,
            trigger,
            work,
            title: None,
            reference: None,
            commit: None,
            upload: None,
            use_cache: true,
            target: None,
            formation: None,
            warning: None,
            author,
        }
    }
}

/// Who is behind it.
#[derive(Clone)]
pub(crate) struct Author {
    pub kind: &'static str,
    pub id: Option<String>,
    pub name: Option<String>,
}

impl Control {
    /// Writes the deployment and its job. The caller appends the audit entry and commits.
    ///
    /// # Errors
    /// `limit-exceeded` when too many wait. A delivery that was taken in before answers its deployment and changes nothing.
    pub(crate) async fn take_in(&self, write: &mut Write, mut request: Request) -> Result<DeploymentId> {
        write.exclusive(&format!("service/{}", request.service)).await?;
        if let Some(known) = store::deployments::find_by_delivery(write, request.organization, request.service, &request.delivery).await? {
            return Ok(known.id);
        }
        let now = self.clock().now();
        let id = DeploymentId::new(self.clock(), self.entropy());
        let fence = store::services::next_fence(write, request.organization, request.service).await?;
        let open = store::deployments::list_open(write, request.service).await?;
        if open.len() >= QUEUE_MAX {
            return Err(ControlError::Limit {
                name: "deployments waiting for this service",
                current: open.len() as u64,
                max: QUEUE_MAX as u64,
            });
        }
        let absorbed = absorb(&open, request.formation.as_mut().map(|formation| &mut formation.0));
        for waiting in open.iter().filter(|waiting| absorbed.contains(&waiting.id) || superseded(waiting, &request)) {
            let end = End { skip_reason: Some(SkipReason::Superseded), superseded_by: Some(id), ..End::default() };
            self.end_waiting(write, waiting, Phase::Skipped, &end).await?;
        }
        let enqueued = store::jobs::enqueue(
            write,
            self.clock(),
            self.entropy(),
            NewJob {
                pool: Pool::Deployments,
                serial_key: Some(job::serial_key(request.service)),
                unique_key: Some(format!("deployment/{id}")),
                attempts_max: job::ATTEMPTS_MAX,
                ..NewJob::new(job::KIND, Some(request.organization), json!({ "deployment": id }))
            },
        )
        .await?;
        let row = DeploymentRow {
            id,
            organization_id: request.organization,
            service_id: request.service,
            delivery: request.delivery,
            trigger_kind: request.trigger,
            work: request.work,
            title: request.title,
            reference: request.reference,
            commit_id: request.commit,
            upload_id: request.upload,
            use_cache: request.use_cache,
            target_release_id: request.target,
            formation: request.formation,
            author_kind: request.author.kind.to_owned(),
            author_id: request.author.id,
            author_name: request.author.name,
            fence,
            job_id: Some(enqueued.id()),
            phase: Phase::Queued,
            built: None,
            release_id: None,
            failure: None,
            skip_reason: None,
            superseded_by: None,
            cancel_requested_at: None,
            canceled_by: None,
            healthy_after_ms: None,
            requests_cut: None,
            gap_ms: None,
            warning: request.warning,
            created_at: now,
            started_at: None,
            finished_at: None,
        };
        store::deployments::insert(write, &row).await?;
        Ok(id)
    }

    /// The deployment that an earlier try of the same call made: nothing is left to do or to check.
    pub(super) async fn repeated(&self, actor: &Actor, service: ServiceId) -> Result<Option<Deployment>> {
        let delivery = actor.origin.delivery();
        let known = store::deployments::find_by_delivery(&mut self.store().read().await?, actor.organization, service, &delivery).await?;
        match known {
            Some(known) => Ok(Some(self.read_deployment_of(actor.organization, known.id).await?)),
            None => Ok(None),
        }
    }

    /// Refuses a service that cannot be deployed now.
    pub(crate) fn deployable(service: &store::services::ServiceRow) -> Result<()> {
        if service.deleting_at.is_some() {
            return Err(ControlError::refused(Code::Conflict, "The service is being deleted. Nothing more can be deployed to it."));
        }
        Ok(())
    }
}

/// The newest waiting changes of replicas go into a newer one that takes their place.
fn absorb(open: &[DeploymentRow], formation: Option<&mut Formation>) -> Vec<DeploymentId> {
    let Some(formation) = formation else { return Vec::new() };
    let mut absorbed = Vec::new();
    for waiting in open.iter().rev().take_while(|waiting| untouched(waiting)) {
        let Some(older) = &waiting.formation else { break };
        formation.absorb(&older.0);
        absorbed.push(waiting.id);
    }
    absorbed
}

fn untouched(waiting: &DeploymentRow) -> bool {
    waiting.phase == Phase::Queued && waiting.started_at.is_none()
}

/// A newer source replaces an older one that has not begun; a newer configuration an older configuration, in which its
/// replicas are too. A rollback and a restart say exactly what they want and are never replaced. A change of replicas replaces
/// nothing but others of its kind: it brings no settings along.
fn superseded(waiting: &DeploymentRow, newer: &Request) -> bool {
    let replaceable = waiting.target_release_id.is_none() && waiting.trigger_kind != Trigger::Rollback;
    let replaces = match (waiting.work, newer.work) {
        (Work::Build, Work::Build) | (Work::Release, Work::Build) => true,
        (Work::Release, Work::Release) => newer.target.is_none(),
        (Work::Restart, Work::Build | Work::Release) => true,
        _ => false,
    };
    untouched(waiting) && newer.formation.is_none() && replaceable && replaces
}

/// Seaway itself.
pub(crate) fn system_author() -> Author {
    Author { kind: "system", id: None, name: Some("Seaway".to_owned()) }
}

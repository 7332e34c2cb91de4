//! The durable job of a deployment: build → release → release command → rollout → after. Each step asks what is there
//! already, so a job that was killed goes on where it was.

use std::time::Duration;

use async_trait::async_trait;
use deployer::protocol::{ApplyOrder, BuildOrder, Built, FetchSource, Journal, LogStream, RegistryCredential, RunOrder};
use domain::deployment::{Cause, Failure, Phase, Step};
use domain::id::{DeploymentId, Id, OrganizationId, RunId, ServiceId};
use domain::permission::Permission;
use domain::service::{Builder, Source};
use jobs::{Handler, JobError, Lease};
use serde::Deserialize;
use store::StoreError;
use store::deployments::{DeploymentRow, End, StepRow, Work};
use store::jobs::JobRow;
use store::releases::ReleaseRow;
use tokio_util::sync::CancellationToken;

use super::facts::ServiceFacts;
use super::freeze::Ingredients;
use super::journal::DeploymentJournal;
use crate::error::ControlError;
use crate::state::Control;
use crate::variables::Purpose;

pub const KIND: &str = "deployment.run";
pub const STOP_KIND: &str = "service.stop";
pub const ATTEMPTS_MAX: u32 = 5;
/// Above every build, command and health limit; what takes longer is ended with a reason.
/// Note of a step that a crash cut off between its effect and its outcome.
const FOUND_DONE: &str = "found done after a crash";
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3 * 3600);
const RELEASE_COMMAND_TIMEOUT_SECONDS: u32 = 3600;
const AFTER_COMMAND_TIMEOUT_SECONDS: u32 = 3600;

/// Jobs of one service run one after the other.
pub(crate) fn serial_key(service: ServiceId) -> String {
    format!("service/{service}")
}

#[derive(Deserialize)]
struct Payload {
    deployment: DeploymentId,
}

pub struct DeploymentJob(pub Control);

/// Why the road to `live` ended.
enum Stop {
    Failed(Failure),
    Canceled,
    /// Not the deployment's fault: try the step again.
    Again(anyhow::Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure.cause {
            Cause::WorkerLost => Self::Again(anyhow::anyhow!("{failure}")),
            _ => Self::Failed(failure),
        }
    }
}

impl From<ControlError> for Stop {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Unavailable(why) => Self::Again(anyhow::anyhow!(why)),
            ControlError::Internal(cause) => Self::Again(cause),
            ControlError::Server(failure) => failure.into(),
            ControlError::Invalid(errors) => {
                let words = errors.into_iter().map(|error| error.detail).collect::<Vec<_>>().join(" ");
                Self::Failed(Failure::new(
                    Cause::Configuration,
                    Step::Accept,
                    words,
                    "Correct the variable under Variables, then deploy again. The release that serves is not touched.",
                ))
            }
            ControlError::Refused { detail, .. } => {
                Self::Failed(Failure::new(Cause::Configuration, Step::Accept, detail, "Change it and deploy again."))
            }
            ControlError::NotFound(what) => {
                let message = format!("There is no such {what} any more.");
                Self::Failed(Failure::new(
                    Cause::Configuration,
                    Step::Accept,
                    message,
                    "Choose another in the service's settings, then deploy again.",
                ))
            }
            ControlError::Sealed(why) => {
                Self::Failed(Failure::new(Cause::Internal, Step::Accept, why, "The operator has to unseal the vault; see `seaway doctor`."))
            }
            other => Self::Failed(Failure::new(Cause::Internal, Step::Accept, other.to_string(), "Deploy again.")),
        }
    }
}

impl Stop {
    /// Names the step, where it is known better than by the error.
    fn at(mut self, step: Step) -> Self {
        if let Self::Failed(failure) = &mut self {
            failure.step = step;
        }
        self
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Again(anyhow::Error::new(error))
    }
}

#[async_trait]
impl Handler for DeploymentJob {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn attempt_timeout(&self) -> Duration {
        ATTEMPT_TIMEOUT
    }

    async fn run(&self, job: &JobRow, lease: Lease, cancel: CancellationToken) -> Result<(), JobError> {
        let control = &self.0;
        let id = payload(job)?;
        let Some(row) = store::deployments::find_any(&mut control.store().read().await?, id).await? else {
            return Ok(());
        };
        let work = Execution { control, lease: &lease, row: &row, cancel: &cancel };
        if row.finished_at.is_some() {
            // Its worker may have died between the end and the end of the log.
            work.close_log(&shown_end(row.phase, row.failure.as_ref().map(|failure| &failure.0))).await;
            return Ok(());
        }
        let stopping = lease.stopping().clone();
        let outcome = tokio::select! {
            outcome = work.perform() => outcome,
            () = stopping.cancelled() => return Err(JobError::Interrupted),
        };
        match outcome {
            Ok(end) => work.end(Phase::Live, end).await,
            Err(Stop::Canceled) => {
                work.end(Phase::Canceled, End::default()).await?;
                Err(JobError::Canceled)
            }
            Err(Stop::Failed(failure)) => {
                // A cancelled build ends as a failure of the build: the person asked for it, so it is `canceled`.
                if cancel.is_cancelled() {
                    work.end(Phase::Canceled, End::default()).await?;
                    return Err(JobError::Canceled);
                }
                let message = failure.to_string();
                work.end(Phase::Failed, End { failure: Some(failure), ..End::default() }).await?;
                Err(JobError::fail(anyhow::anyhow!(message)))
            }
            Err(Stop::Again(error)) => Err(JobError::retry(error)),
        }
    }

    async fn give_up(&self, job: &JobRow, lease: Lease, reason: &str) -> Result<(), JobError> {
        let id = payload(job)?;
        let control = &self.0;
        let Some(row) = store::deployments::find_any(&mut control.store().read().await?, id).await? else {
            return Ok(());
        };
        if row.finished_at.is_some() {
            return Ok(());
        }
        let cancel = CancellationToken::new();
        let work = Execution { control, lease: &lease, row: &row, cancel: &cancel };
        if row.cancel_requested_at.is_some() {
            return work.end(Phase::Canceled, End::default()).await;
        }
        let failure = Failure::new(
            Cause::WorkerLost,
            Step::Accept,
            format!("The deployment could not be brought to an end: {reason}."),
            "The release that served before serves on. Deploy again; if it happens again, give the deployment's id to the operator.",
        );
        work.end(Phase::Failed, End { failure: Some(failure), ..End::default() }).await
    }
}

fn payload(job: &JobRow) -> Result<DeploymentId, JobError> {
    serde_json::from_value::<Payload>(job.payload.0.clone()).map(|payload| payload.deployment).map_err(JobError::fail)
}

struct Execution<'a> {
    control: &'a Control,
    lease: &'a Lease,
    row: &'a DeploymentRow,
    cancel: &'a CancellationToken,
}

impl Execution<'_> {
    async fn perform(&self) -> Result<End, Stop> {
        let control = self.control;
        if self.concluded(Step::Switch).await?.is_none() {
            self.go_on()?;
        }
        let journal = self.journal(None);
        journal.before(Step::Accept).await?;
        let facts = control.service_facts(self.row.organization_id, self.row.service_id).await?;
        self.authority(&facts).await?;
        journal.after(Step::Accept, None).await?;
        let switched = self.concluded(Step::Switch).await?.is_some();
        let go_on = || if switched { Ok(()) } else { self.go_on() };
        let built = match self.row.work {
            Work::Build => Some(self.build(&facts).await?),
            Work::Release | Work::Restart => None,
        };
        go_on()?;
        // A build takes minutes: what was changed meanwhile belongs into the release.
        let facts = control.service_facts(self.row.organization_id, self.row.service_id).await?;
        let release = match self.row.work {
            Work::Restart => self.present(&facts).await?,
            Work::Build | Work::Release => self.release(&facts, built.as_ref()).await?,
        };
        go_on()?;
        if built.is_some() {
            self.release_command(&facts, &release).await?;
        }
        go_on()?;
        self.rollout(&facts, &release, built.is_some()).await
    }

    fn go_on(&self) -> Result<(), Stop> {
        if self.cancel.is_cancelled() || self.row.cancel_requested_at.is_some() { Err(Stop::Canceled) } else { Ok(()) }
    }

    fn journal(&self, release: Option<&ReleaseRow>) -> DeploymentJournal<'_> {
        DeploymentJournal {
            control: self.control,
            lease: self.lease,
            deployment: self.row.id,
            service: self.row.service_id,
            organization: self.row.organization_id,
            release: release.map(|release| (release.id, release.service_revision)),
        }
    }

    /// Whoever asked must still be allowed to when it runs.
    async fn authority(&self, facts: &ServiceFacts) -> Result<(), Stop> {
        let allowed = self
            .control
            .still_allowed(&self.row.author_kind, self.row.author_id.as_deref(), &facts.located(), Permission::DeploymentsWrite)
            .await?;
        if allowed {
            return Ok(());
        }
        Err(Stop::Failed(Failure::new(
            Cause::Configuration,
            Step::Accept,
            "Whoever asked for this deployment has lost the right to deploy in the meantime.",
            "Somebody with the right has to deploy again.",
        )))
    }

    async fn build(&self, facts: &ServiceFacts) -> Result<Built, Stop> {
        if let Some(built) = &self.row.built {
            return serde_json::from_value(built.0.clone()).map_err(|error| Stop::Again(error.into()));
        }
        let control = self.control;
        // One place per build, so that builds do not starve what runs. Whoever cancels does not wait for one.
        let _place = tokio::select! {
            place = control.builds().acquire() => place.map_err(|closed| Stop::Again(closed.into()))?,
            () = self.cancel.cancelled() => return Err(Stop::Canceled),
        };
        let configuration = &facts.service.configuration.0;
        let resolved = control
            .resolve_variables(
                self.row.organization_id,
                self.row.service_id,
                &Purpose {
                    deployment: Some(self.row.id),
                    commit: self.row.commit_id.clone(),
                    branch: facts.branch(self.row),
                    ..Purpose::default()
                },
            )
            .await
            .map_err(|error| Stop::from(error).at(Step::Build))?;
        let mut secrets = std::collections::BTreeMap::new();
        if let Builder::Dockerfile { secrets: wanted, .. } = &configuration.builder {
            for name in wanted {
                let value = resolved.values.get(name).cloned().ok_or_else(|| {
                    Stop::Failed(Failure::new(
                        Cause::Configuration,
                        Step::Build,
                        format!("The build wants the secret {name}, and the service has no variable of that name."),
                        "Add the variable or take the name out of the build secrets.",
                    ))
                })?;
                secrets.insert(name.clone(), value);
            }
        }
        let masks = resolved.masks;
        let order = BuildOrder {
            operation: self.row.id,
            service: self.row.service_id,
            tenant: self.row.organization_id.to_string(),
            source: self.source(facts).await.map_err(|stop| stop.at(Step::Fetch))?,
            root: configuration.root.clone(),
            builder: configuration.builder.clone(),
            secrets,
            registries: match &configuration.builder {
                Builder::Dockerfile { .. } => {
                    control.registry_credentials(self.row.organization_id).await.map_err(|error| Stop::from(error).at(Step::Build))?
                }
                Builder::Static { .. } | Builder::None => Vec::new(),
            },
            limits: configuration.build_limits.clone(),
            cache: self.row.use_cache && configuration.build_cache,
            masks,
        };
        let built = control.server().build(order, &self.journal(None), self.cancel.clone()).await?;
        let value = serde_json::to_value(&built).map_err(|error| Stop::Again(error.into()))?;
        let mut write = control.store().write().await?;
        self.lease.check(&mut write).await?;
        store::deployments::set_built(&mut write, self.row.id, &value, &built.revision).await?;
        write.commit_without_audit("the steps of a deployment are its own record").await?;
        Ok(built)
    }

    async fn source(&self, facts: &ServiceFacts) -> Result<FetchSource, Stop> {
        let control = self.control;
        let configured = facts.service.configuration.0.source.clone();
        let organization = self.row.organization_id;
        if let Some(upload) = self.row.upload_id.or(match &configured {
            Some(Source::Archive { upload }) => *upload,
            _ => None,
        }) {
            let (path, digest) = control.upload_file(organization, upload).await?;
            return Ok(FetchSource::Archive { path, digest });
        }
        match configured {
            Some(Source::Git { url, reference, credential, submodules, lfs }) => {
                let credential = match credential {
                    Some(id) => Some(control.git_credential(organization, id).await?),
                    None => None,
                };
                let reference = self.row.reference.clone().or(reference);
                Ok(FetchSource::Git { url, reference, commit: self.row.commit_id.clone(), credential, submodules, lfs })
            }
            Some(Source::Image { reference, credential }) => {
                let credential: Option<RegistryCredential> = match credential {
                    Some(id) => Some(control.registry_credential(organization, id).await?),
                    None => None,
                };
                Ok(FetchSource::Image { reference: self.row.reference.clone().unwrap_or(reference), credential })
            }
            Some(Source::Archive { .. }) | None => Err(Stop::Failed(Failure::new(
                Cause::Configuration,
                Step::Fetch,
                "The service has no source.",
                "Set a Git URL, an upload or an image as its source, then deploy again.",
            ))),
        }
    }

    /// The release that a restart puts up again.
    async fn present(&self, facts: &ServiceFacts) -> Result<ReleaseRow, Stop> {
        let control = self.control;
        let found = match facts.service.current_release_id {
            Some(id) => store::releases::find(&mut control.store().read().await?, self.row.organization_id, id).await?,
            None => None,
        };
        let release = found.ok_or_else(|| {
            Stop::Failed(Failure::new(Cause::Configuration, Step::Release, "The service has no release yet.", "Deploy it first."))
        })?;
        if self.row.release_id.is_none() {
            let mut write = control.store().write().await?;
            self.lease.check(&mut write).await?;
            store::deployments::set_release(&mut write, self.row.id, release.id).await?;
            write.commit_without_audit("the steps of a deployment are its own record").await?;
        }
        Ok(release)
    }

    async fn release(&self, facts: &ServiceFacts, built: Option<&Built>) -> Result<ReleaseRow, Stop> {
        let journal = self.journal(None);
        journal.before(Step::Release).await?;
        // A repeat after a crash has to see a release that was stored meanwhile.
        let row = store::deployments::find_any(&mut self.control.store().read().await?, self.row.id).await?;
        let row = row.ok_or_else(|| Stop::Again(anyhow::anyhow!("the deployment is gone")))?;
        let frozen = self.control.freeze(Ingredients { row: &row, facts, built }, self.lease).await;
        let release = frozen.map_err(|error| Stop::from(error).at(Step::Release))?;
        journal.after(Step::Release, Some(format!("v{}", release.version))).await?;
        Ok(release)
    }

    /// Runs the release command once, in the new image, before any traffic.
    async fn release_command(&self, facts: &ServiceFacts, release: &ReleaseRow) -> Result<(), Stop> {
        let Some(command) = release.configuration.0.release_command.clone() else { return Ok(()) };
        if self.concluded(Step::ReleaseCommand).await?.is_some() {
            return Ok(());
        }
        let journal = self.journal(None);
        journal.before(Step::ReleaseCommand).await?;
        let end = self.once(facts, release, command, "release", RELEASE_COMMAND_TIMEOUT_SECONDS).await?;
        if let Some(failure) = end {
            return Err(Stop::Failed(failure));
        }
        journal.after(Step::ReleaseCommand, None).await?;
        Ok(())
    }

    /// The step's row, when an attempt brought it to its end.
    async fn concluded(&self, step: Step) -> Result<Option<StepRow>, Stop> {
        let steps = store::deployments::list_steps(&mut self.control.store().read().await?, self.row.id).await?;
        Ok(steps.into_iter().find(|row| row.step == step && row.outcome_at.is_some()))
    }

    /// Runs a command of the release; answers its failure, if it failed.
    async fn once(
        &self,
        facts: &ServiceFacts,
        release: &ReleaseRow,
        command: Vec<String>,
        what: &str,
        timeout_seconds: u32,
    ) -> Result<Option<Failure>, Stop> {
        let control = self.control;
        let shown = command.join(" ");
        let order = RunOrder {
            run: RunId::from_uuid(derived(self.row.id, what)),
            stream: LogStream::Deployment(self.row.id),
            desired: control.desired(facts, release).await?,
            command,
            timeout_seconds,
        };
        let end = control.server().run(order, self.cancel.clone()).await?;
        if end.exit_code == 0 && !end.timed_out {
            return Ok(None);
        }
        let (cause, happened) = if end.out_of_memory {
            (Cause::OutOfMemory, "ran out of memory".to_owned())
        } else if end.timed_out {
            (Cause::ReleaseCommand, format!("did not end within {timeout_seconds} s"))
        } else {
            (Cause::ReleaseCommand, format!("ended with exit code {}", end.exit_code))
        };
        let failure = Failure::new(
            cause,
            Step::ReleaseCommand,
            format!("The {what} command `{shown}` {happened}."),
            "Read its last lines, correct it and deploy again. The release that serves is not touched.",
        )
        .with_exit_code(end.exit_code)
        .with_log_tail(control.log_tail(LogStream::Deployment(self.row.id)).await);
        Ok(Some(failure))
    }

    async fn rollout(&self, facts: &ServiceFacts, release: &ReleaseRow, built: bool) -> Result<End, Stop> {
        let control = self.control;
        let journal = self.journal(Some(release));
        let order = ApplyOrder {
            operation: self.row.id,
            fence: u64::try_from(self.row.fence).unwrap_or(0),
            desired: control.desired(facts, release).await?,
            replace: self.row.work == Work::Restart,
        };
        let applied = match control.server().apply(order, &journal, self.cancel.clone()).await {
            Ok(applied) => applied,
            // It serves: what failed is the leaving of the old one, which the sweeper repairs.
            Err(failure) if failure.cause != Cause::WorkerLost && self.concluded(Step::Switch).await?.is_some() => {
                return Ok(End { warning: Some(format!("{failure} The new release serves all the same.")), ..End::default() });
            }
            Err(failure) => return Err(failure.into()),
        };
        if self.concluded(Step::Switch).await?.is_none() {
            // Switched by an attempt that died before it could say so: the server answered the repeat with the first result.
            journal.before(Step::Switch).await?;
            journal.after(Step::Switch, None).await?;
        }
        let warning = if built { self.after(facts, release, &journal).await? } else { None };
        let count = |number: u64| i64::try_from(number).ok();
        Ok(End {
            healthy_after_ms: count(applied.healthy_after_ms),
            requests_cut: count(applied.requests_cut),
            gap_ms: applied.gap_ms.and_then(count),
            warning,
            ..End::default()
        })
    }

    /// Post-deploy commands. The new release serves already, so a failure of theirs is a warning and not a rollback.
    async fn after(&self, facts: &ServiceFacts, release: &ReleaseRow, journal: &DeploymentJournal<'_>) -> Result<Option<String>, Stop> {
        let configuration = &release.configuration.0;
        let first = !store::releases::another_served(&mut self.control.store().read().await?, self.row.service_id, release.id).await?;
        let commands = [
            (configuration.post_deploy_command.clone(), "post-deploy"),
            (configuration.first_deploy_command.clone().filter(|_| first), "first-deploy"),
        ];
        if commands.iter().all(|(command, _)| command.is_none()) {
            return Ok(None);
        }
        if let Some(done) = self.concluded(Step::PostDeploy).await? {
            return Ok(done.note);
        }
        journal.before(Step::PostDeploy).await?;
        let mut warning = None;
        for (command, what) in commands {
            let Some(command) = command else { continue };
            let failure = match self.once(facts, release, command, what, AFTER_COMMAND_TIMEOUT_SECONDS).await {
                Ok(failure) => failure,
                Err(Stop::Failed(failure)) => Some(failure),
                Err(stop) => return Err(stop),
            };
            if let Some(failure) = failure {
                warning = Some(format!("{} The new release serves all the same.", failure.message));
                break;
            }
        }
        journal.after(Step::PostDeploy, warning.clone()).await?;
        Ok(warning)
    }

    /// Writes the end, in one unit with what follows from it, and closes the log.
    async fn end(&self, phase: Phase, end: End) -> Result<(), JobError> {
        let control = self.control;
        let now = control.clock().now();
        control.faults().at(Step::Record, super::Moment::AfterIntent);
        let letters = control.notices(self.row, phase, &end).await;
        let mut write = control.store().write().await?;
        self.lease.check(&mut write).await?;
        match store::deployments::end(&mut write, self.row.id, phase, &end, now).await {
            // Somebody ended it in the meantime (cancel of a waiting one): nothing is left to write.
            Err(StoreError::Stale { .. }) => return Ok(()),
            other => other?,
        }
        if phase == Phase::Live {
            store::deployments::conclude_open(&mut write, self.row.id, FOUND_DONE, now).await?;
        }
        control.enqueue_prune(&mut write, self.row.organization_id, self.row.service_id).await?;
        for letter in letters {
            control.post(&mut write, letter).await.map_err(|error| JobError::retry(anyhow::anyhow!("{error}")))?;
        }
        write.append_end(control, self.row, phase, &end).await?;
        write.commit().await?;
        control.faults().at(Step::Record, super::Moment::BeforeOutcome);
        self.close_log(&shown_end(phase, end.failure.as_ref())).await;
        Ok(())
    }

    async fn close_log(&self, status: &str) {
        if let Err(failure) = self.control.server().close_log(LogStream::Deployment(self.row.id), status.to_owned()).await {
            tracing::warn!(deployment = %self.row.id, error = %failure, "the deployment's log could not be closed");
        }
    }
}

/// The last word of a deployment's log.
fn shown_end(phase: Phase, failure: Option<&Failure>) -> String {
    match failure {
        Some(failure) => format!("failed: {failure}"),
        None => crate::word(&phase),
    }
}

/// A second id of the same deployment, the same at every repeat.
fn derived(deployment: DeploymentId, what: &str) -> uuid::Uuid {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    digest.update(deployment.uuid().as_bytes());
    digest.update(what.as_bytes());
    let bytes: [u8; 32] = digest.finalize().into();
    let mut id = [0u8; 16];
    for (place, byte) in id.iter_mut().zip(bytes) {
        *place = byte;
    }
    uuid::Builder::from_custom_bytes(id).into_uuid()
}

/// The system's own entry for the end of a deployment.
trait AppendEnd {
    async fn append_end(&mut self, control: &Control, row: &DeploymentRow, phase: Phase, end: &End) -> Result<(), StoreError>;
}

impl AppendEnd for store::Write {
    async fn append_end(&mut self, control: &Control, row: &DeploymentRow, phase: Phase, end: &End) -> Result<(), StoreError> {
        use store::audit::{Actor, Chain, Record, Resource};
        let action = match phase {
            Phase::Live => "deployment.succeeded",
            Phase::Failed => "deployment.failed",
            Phase::Canceled => "deployment.canceled",
            _ => "deployment.skipped",
        };
        let mut record = Record::new(Chain::Organization(row.organization_id), Actor::system("deployer"), action);
        record.resource = Some(Resource { kind: "deployment", id: row.id.to_string(), name: None });
        record.details = serde_json::json!({ "cause": end.failure.as_ref().map(|failure| failure.cause), "service": row.service_id });
        store::audit::append(self, control.clock(), control.entropy(), record).await.map(|_| ())
    }
}

/// Stops a service, in its turn.
pub struct StopJob(pub Control);

#[derive(Deserialize)]
struct StopPayload {
    service: ServiceId,
    organization: OrganizationId,
    fence: u64,
}

#[async_trait]
impl Handler for StopJob {
    fn kind(&self) -> &'static str {
        STOP_KIND
    }

    async fn run(&self, job: &JobRow, _lease: Lease, _cancel: CancellationToken) -> Result<(), JobError> {
        let payload: StopPayload = serde_json::from_value(job.payload.0.clone()).map_err(JobError::fail)?;
        let service = store::services::find(&mut self.0.store().read().await?, payload.organization, payload.service).await?;
        if service.is_none_or(|service| !service.stopped) {
            return Ok(());
        }
        self.0.server().stop(payload.service, payload.fence).await.map_err(|failure| JobError::retry(anyhow::anyhow!("{failure}")))
    }
}

//! Every kind of job that the control plane runs, and what recurs. The binary and the tests start a runner with these.

use std::time::Duration;

use jobs::Handlers;

use crate::state::Control;
use crate::{audit, deployments, logs, mail, releases, retention, rotation, running, runs};

const SWEEP_EVERY: Duration = Duration::from_secs(60);
const PURGE_LOGS_EVERY: Duration = Duration::from_secs(3600);
const PURGE_EXPIRED_EVERY: Duration = Duration::from_secs(600);
const WARN_OF_TOKENS_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The handlers of all jobs.
pub fn handlers(control: &Control) -> Handlers {
    let handlers = Handlers::default()
        .with(deployments::job::DeploymentJob(control.clone()))
        .with(deployments::job::StopJob(control.clone()))
        .with(runs::job::RunJob(control.clone()))
        .with(releases::prune::PruneJob(control.clone()))
        .with(running::teardown::TeardownJob(control.clone()))
        .with(running::teardown::EnvironmentTeardownJob(control.clone()))
        .with(running::sweep::SweepJob(control.clone()))
        .with(logs::close::CloseLogJob(control.clone()))
        .with(logs::retention::PurgeLogsJob(control.clone()))
        .with(mail::DeliverMail(control.clone()))
        .with(retention::PurgeJob(control.clone()))
        .with(retention::WarnOfTokensJob(control.clone()))
        .with(rotation::job::RotateJob(control.clone()))
        .with(rotation::job::TendJob(control.clone()))
        .with(audit::stream::StreamJob(control.clone()))
        .every(rotation::job::TEND, rotation::job::TEND_EVERY)
        .every(retention::PURGE, PURGE_EXPIRED_EVERY)
        .every(retention::WARN, WARN_OF_TOKENS_EVERY)
        .every(running::sweep::KIND, SWEEP_EVERY)
        .every(logs::retention::KIND, PURGE_LOGS_EVERY);
    match control.config().audit_syslog {
        Some(_) => handlers.every(audit::stream::KIND, audit::stream::EVERY),
        None => handlers,
    }
}

//! The control plane's process: start everything in order, wait for the end, stop everything in order.
//!
//! Start: data folder and its lock → database and migrations → keys → mail → server side → use cases → jobs → HTTP.
//! Stop: accept no more → requests end → no more jobs, running ones end or are given back → server side → database.

mod faults;
mod ingress_process;
mod server;
mod starting;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use control::{Control, ControlConfig, ControlParts};
use domain::{Clock, Entropy, SystemClock, SystemEntropy};
use tokio_util::task::TaskTracker;
use vault::KeyRing;

use crate::configuration::Configuration;
use crate::data_dir::DataDir;
use crate::runtime::Stop;
use crate::{master_key, say, store_open};
use starting::StartingPage;

/// Jobs in flight get this long; a deployment resumes where it was, so there is no need to wait for its end.
const JOBS_GRACE: Duration = Duration::from_secs(10);

pub use ingress_process::{run as run_ingress, stop as stop_ingress};

/// Runs until a signal asks for the end.
///
/// # Errors
/// What kept it from starting, or a part that ended by itself.
pub async fn run(configuration: Configuration) -> Result<()> {
    let stop = Stop::on_signals()?;
    tokio::select! {
        result = serve(configuration, stop.clone()) => result,
        () = stop.hard.cancelled() => bail!("stopped at once, as asked"),
    }
}

async fn serve(configuration: Configuration, stop: Stop) -> Result<()> {
    let data_dir = DataDir::open(&configuration.data_dir)?;
    let sole = configuration.database.is_sqlite();
    let _lock = data_dir.lock()?;
    if let Some(done) = control::recovery::finish_interrupted(data_dir.path())? {
        tracing::warn!(aside = %done.aside.display(), "a restore that was interrupted has been carried through");
    }
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(SystemClock), Arc::new(SystemEntropy));

    let page = StartingPage::open(&configuration.http.listen).await?;
    let store = store_open::open_patiently(&configuration.database, &stop.soft).await?;
    let unlocked = master_key::unlock(&configuration.vault, &store, clock.as_ref(), entropy.as_ref()).await?;
    let owner = owner(entropy.as_ref());
    if sole {
        // The lock proves that whoever held these leases is gone: no need to wait for them to run out.
        let mut write = store.write().await?;
        let count = store::jobs::reclaim_previous_owner(&mut write, &owner).await?;
        store::idempotency::free_running(&mut write).await?;
        write.commit_without_audit("leases and open keys of the process before this one").await?;
        if count > 0 {
            tracing::info!(count, "jobs of the process before this one go on");
        }
    }

    let background = TaskTracker::new();
    if configuration.ingress.managed {
        let supervisor = ingress_process::Supervisor::new(&configuration, &data_dir)?;
        background.spawn(supervisor.run(stop.soft.clone()));
    }
    let server = server::start(&configuration, &data_dir, &clock, &entropy)?;
    let control = Control::new(ControlParts {
        store: store.clone(),
        ring: Arc::new(KeyRing::new(Arc::clone(&entropy))),
        masters: unlocked.masters,
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        server: server.clone(),
        mail: mail_transport(&configuration, &data_dir)?,
        config: control_config(&configuration, &data_dir),
        faults: faults::from_environment()?,
    });
    if configuration.vault.master_key.is_none() {
        // `seaway keys rotate` beside this process is learnt without a restart.
        control.keys().follow(control::rotation::MasterKeyFiles::new(&configuration.vault.file));
    }
    if let Some(reason) = unlocked.sealed {
        tracing::error!("SEALED: {reason}");
        control.keys().seal_instance(reason);
    }

    let runner = jobs::Runner::start(job_parts(&configuration, &control, &clock, &entropy, owner));
    page.close().await;
    let (http, addresses) = api::server::start(
        &api::server::ServerConfig {
            listen: configuration.http.listen.clone(),
            workers: configuration.http.workers,
            quotas: configuration.http.quotas,
            trusted_proxies: configuration.http.trusted_proxies.clone(),
            hosts: configuration.http.hosts.clone(),
            compress: true,
        },
        control.clone(),
    )
    .with_context(|| format!("cannot listen on {:?}; is the port taken? Choose another with SEAWAY_LISTEN", configuration.http.listen))?;
    tracing::info!(?addresses, database = configuration.database.kind(), "Seaway serves {}", configuration.http.base_url);
    greet(&control).await;
    let handle = http.handle();
    let mut http = tokio::spawn(http);

    let mut runner = runner;
    let failed = tokio::select! {
        () = stop.soft.cancelled() => None,
        ended = &mut http => Some(format!("the HTTP server ended by itself: {ended:?}")),
        () = runner.ended() => Some("the job runner ended by itself".to_owned()),
    };
    tracing::info!("no new requests; those in flight end");
    let drained = handle.stop(failed.is_none());
    // Long streams must not keep the jobs from being given back: both end at the same time.
    tokio::join!(drained, runner.stop(JOBS_GRACE));
    server.shutdown().await;
    background.close();
    background.wait().await;
    store.close().await;
    tracing::info!("stopped");
    match failed {
        Some(reason) => bail!(reason),
        None => Ok(()),
    }
}

fn control_config(configuration: &Configuration, data_dir: &DataDir) -> ControlConfig {
    ControlConfig {
        base_url: configuration.http.base_url.clone(),
        base_domain: configuration.ingress.base_domain.clone(),
        ingress_public_port: configuration.ingress.public_port,
        ingress_https: configuration.ingress.https,
        data_dir: data_dir.path().to_owned(),
        mail_from: configuration.mail.from.clone(),
        bind_allowed: configuration.server.bind_allowed.clone(),
        git_over_http: configuration.server.git_over_http,
        builds_at_once: configuration.server.builds_at_once,
        features_off: configuration.features_off.iter().copied().collect(),
        audit_syslog: configuration.audit_syslog.clone(),
    }
}

/// Unique per start: host, process, and a random part.
fn owner(entropy: &dyn Entropy) -> String {
    let mut random = [0u8; 6];
    entropy.fill(&mut random);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}:{}:{}", std::process::id(), random.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn job_parts(
    configuration: &Configuration,
    control: &Control,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
    owner: String,
) -> jobs::Parts {
    jobs::Parts {
        store: control.store().clone(),
        handlers: control::background::handlers(control),
        clock: Arc::clone(clock),
        entropy: Arc::clone(entropy),
        limits: jobs::Limits { deployments: configuration.server.deployments_at_once, ..jobs::Limits::default() },
        owner,
    }
}

fn mail_transport(configuration: &Configuration, data_dir: &DataDir) -> Result<Arc<dyn mail::Transport>> {
    if let Some(smtp) = &configuration.mail.smtp {
        let transport = mail::SmtpTransport::new(smtp.clone()).context("the setting smtp_url cannot be used")?;
        return Ok(Arc::new(transport));
    }
    let folder = data_dir.join("outbox");
    tracing::info!("SMTP is not configured (smtp_url): mails become files in {}", folder.display());
    Ok(Arc::new(mail::OutboxFolder::new(&folder).context("the outbox folder cannot be made")?))
}

/// While nobody operates the instance, each start prints a new way in.
async fn greet(control: &Control) {
    match control.setup_link().await {
        Ok(Some(link)) => say::remark(format!(
            "\n  Nobody operates this instance yet. Open this link once to make the first account:\n\n    {}\n\n  \
             (a new one: seaway setup-link)\n",
            link.reveal()
        )),
        Ok(None) => {}
        Err(error) => tracing::warn!("the set-up link could not be made: {error}"),
    }
}

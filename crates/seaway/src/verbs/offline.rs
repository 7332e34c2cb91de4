//! The use cases without a server: for verbs that work on the database beside, or without, a running `serve`.

use std::sync::Arc;

use anyhow::{Result, bail};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use control::{Control, ControlConfig, ControlParts};
use deployer::protocol::{
    Applied, ApplyOrder, BuildOrder, Built, ExecOrder, ExecSession, Intended, Journal, LogEvent, LogPage, LogQuery, LogStream, PartHealth,
    Removal, RemovalReport, ReplicaStatus, RunEnd, RunOrder, Server, ServerHealth, SweepMode, SweepReport,
};
use domain::deployment::{Cause, Failure, Step};
use domain::id::ServiceId;
use domain::{Clock, Entropy, SystemClock, SystemEntropy};
use futures_util::stream::BoxStream;
use tokio_util::sync::CancellationToken;
use vault::KeyRing;

use crate::configuration::Configuration;
use crate::data_dir::DataDir;
use crate::{master_key, store_open};

/// The use cases over the configured database, with the keys unlocked.
///
/// # Errors
/// The database's, or a master key that does not fit.
pub async fn control(configuration: &Configuration) -> Result<Control> {
    let data_dir = DataDir::open(&configuration.data_dir)?;
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let store = store_open::open(&configuration.database).await?;
    let unlocked = master_key::unlock(&configuration.vault, &store, clock.as_ref(), entropy.as_ref()).await?;
    if let Some(reason) = unlocked.sealed {
        bail!("the instance is sealed: {reason}");
    }
    Ok(Control::new(ControlParts {
        store,
        ring: Arc::new(KeyRing::new(Arc::clone(&entropy))),
        masters: unlocked.masters,
        clock,
        entropy,
        server: Arc::new(NoServer),
        mail: Arc::new(mail::OutboxFolder::new(&data_dir.join("outbox"))?),
        config: ControlConfig {
            base_url: configuration.http.base_url.clone(),
            base_domain: configuration.ingress.base_domain.clone(),
            ingress_public_port: configuration.ingress.public_port,
            ingress_https: configuration.ingress.https,
            data_dir: data_dir.path().to_owned(),
            mail_from: configuration.mail.from.clone(),
            bind_allowed: configuration.server.bind_allowed.clone(),
            git_over_http: configuration.server.git_over_http,
            builds_at_once: configuration.server.builds_at_once,
            features_off: Default::default(),
            audit_syslog: None,
        },
        faults: Arc::new(control::deployments::NoFaults),
    }))
}

/// A verb never acts on containers: whatever it causes is a job that `serve` does.
struct NoServer;

fn nothing<T>() -> Result<T, Failure> {
    Err(Failure::new(
        Cause::Engine,
        Step::Accept,
        "This process has no server side.",
        "Start `seaway serve`; it does the work that this verb has asked for.",
    ))
}

#[async_trait]
impl Server for NoServer {
    async fn build(&self, _: BuildOrder, _: &dyn Journal, _: CancellationToken) -> Result<Built, Failure> {
        nothing()
    }
    async fn apply(&self, _: ApplyOrder, _: &dyn Journal, _: CancellationToken) -> Result<Applied, Failure> {
        nothing()
    }
    async fn run(&self, _: RunOrder, _: CancellationToken) -> Result<RunEnd, Failure> {
        nothing()
    }
    async fn stop(&self, _: ServiceId, _: u64) -> Result<(), Failure> {
        nothing()
    }
    async fn remove(&self, _: Removal) -> Result<RemovalReport, Failure> {
        nothing()
    }
    async fn replicas(&self, _: ServiceId) -> Result<Vec<ReplicaStatus>, Failure> {
        nothing()
    }
    async fn sweep(&self, _: Intended, _: SweepMode) -> Result<SweepReport, Failure> {
        nothing()
    }
    async fn read_logs(&self, _: LogQuery) -> Result<LogPage, Failure> {
        nothing()
    }
    async fn follow_logs(&self, _: LogQuery) -> Result<BoxStream<'static, LogEvent>, Failure> {
        nothing()
    }
    async fn append_log(&self, _: LogStream, _: String) -> Result<(), Failure> {
        nothing()
    }
    async fn close_log(&self, _: LogStream, _: String) -> Result<(), Failure> {
        nothing()
    }
    async fn purge_logs(&self, _: Option<LogStream>, _: DateTime<Utc>) -> Result<u64, Failure> {
        nothing()
    }
    async fn exec(&self, _: ExecOrder) -> Result<ExecSession, Failure> {
        nothing()
    }
    async fn health(&self) -> ServerHealth {
        ServerHealth { parts: vec![PartHealth { name: "server".into(), ok: false, detail: "this process has none".into() }] }
    }
}

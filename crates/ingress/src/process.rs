//! The life of the process: restore, listen, serve, stop in order.

use std::{
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use domain::{Clock, Entropy};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    IngressError,
    acme::Engine,
    admin::{self, Admin},
    certificates_start::Certificates,
    config::IngressConfig,
    events::EventLog,
    handover::{self, Letter, Received},
    persist::RouteStore,
    policy::auth::Gatekeeper,
    proxy::Proxy,
    registry::{PROBE_INTERVAL, Registry},
    request_id::RequestIds,
    seen,
    server::{self, Server, Speaks},
    traffic::{OpenConnections, Traffic},
};

/// How often connections to replicas that nobody uses are closed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What is left after the last request gets this long to end.
const REST_WAIT: Duration = Duration::from_secs(1);

/// A running ingress.
pub struct Ingress {
    addresses: Vec<SocketAddr>,
    addresses_tls: Vec<SocketAddr>,
    /// A successor listens on the same sockets.
    succeeded: CancellationToken,
    registry: Arc<Registry>,
    open: Arc<OpenConnections>,
    stop: CancellationToken,
    stop_admin: CancellationToken,
    connections: TaskTracker,
    upstream: TaskTracker,
    background: TaskTracker,
    shutdown_grace: Duration,
}

/// Runs until `shutdown` resolves or a successor has taken over, then lets requests finish.
pub async fn run(config: IngressConfig, shutdown: impl Future<Output = ()>) -> Result<(), IngressError> {
    run_after(config, None, Vec::new(), shutdown).await
}

/// Runs until `shutdown` resolves or a successor has taken over, then lets requests finish. `before` are the sockets of the
/// process that this one succeeds; `files` live on in the successor (a lock, for example).
pub async fn run_after(
    config: IngressConfig,
    before: Option<Received>,
    files: Vec<OwnedFd>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), IngressError> {
    let ingress = Ingress::take_over(config, before, files, Arc::new(domain::SystemClock), &domain::SystemEntropy).await?;
    tokio::select! {
        () = shutdown => {}
        () = ingress.succeeded.cancelled() => tracing::info!("a successor has taken over"),
    }
    ingress.stop().await;
    Ok(())
}

impl Ingress {
    /// Returns when every listener is open and the restored routes are active.
    pub async fn start(config: IngressConfig, clock: Arc<dyn Clock>, entropy: &dyn Entropy) -> Result<Self, IngressError> {
        Self::take_over(config, None, Vec::new(), clock, entropy).await
    }

    /// Like [`Self::start`], on the sockets of a running process, which stops accepting when this one is ready.
    pub async fn take_over(
        config: IngressConfig,
        before: Option<Received>,
        files: Vec<OwnedFd>,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<Self, IngressError> {
        let store =
            RouteStore::open(&config.state_dir).map_err(|source| IngressError::StateDir { path: config.state_dir.clone(), source })?;
        let registry = Arc::new(Registry::new(store));
        let now = clock.now();
        let mut warnings = registry.restore(now.into()).await;
        let certificates = Certificates::open(&config, &clock, &mut warnings)?;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let (logs, log_writer) =
            seen::log::open(&config.state_dir).map_err(|source| IngressError::StateDir { path: config.state_dir.clone(), source })?;
        // It ends with the proxy, which every connection holds: after the last line.
        tokio::spawn(log_writer.run());
        let tasks = TaskTracker::new();
        let upstream = TaskTracker::new();
        let open = Arc::new(OpenConnections::default());
        let stop = CancellationToken::new();
        let proxy = Arc::new(Proxy {
            registry: Arc::clone(&registry),
            front: certificates.front(&config),
            limits: config.limits.clone(),
            clock,
            ids: RequestIds::new(entropy),
            tunnels: tasks.clone(),
            upstream: upstream.clone(),
            traffic: Traffic::default(),
            gate: Gatekeeper::new(entropy),
            events: EventLog::new(now.timestamp_millis()),
            logs,
        });
        let server = Arc::new(Server {
            proxy: Arc::clone(&proxy),
            open: Arc::clone(&open),
            proxy_protocol: config.proxy_protocol,
            handshakes: certificates.handshakes(&config.limits)?,
            trusted_proxies: config.trusted_proxies.clone(),
            stop: stop.clone(),
            connections: tasks.clone(),
        });
        let metrics_listen = config.metrics_listen;
        let ingress = Self {
            addresses: Vec::new(),
            addresses_tls: Vec::new(),
            succeeded: CancellationToken::new(),
            registry,
            open,
            stop,
            stop_admin: CancellationToken::new(),
            connections: tasks,
            upstream,
            background: TaskTracker::new(),
            shutdown_grace: Duration::from_millis(config.limits.shutdown_grace_ms),
        };
        let admin = Arc::new(Admin {
            registry: Arc::clone(&ingress.registry),
            certificates: certificates.admin(),
            proxy,
            is_paused: false.into(),
            open: Arc::clone(&ingress.open),
            started_at_ms: now.timestamp_millis(),
            warnings,
        });
        if let Some(address) = metrics_listen {
            let failed = |source| IngressError::Listen { address, source };
            let listener = server::listen(address).map_err(failed)?;
            ingress.background.spawn(seen::endpoint::serve(listener, Arc::clone(&admin), ingress.stop.clone()));
        }
        let engine = certificates.engine;
        let ingress = ingress.begin(server, admin, &config, before, files, &engine).await?;
        ingress.background.spawn(engine.run(ingress.stop.clone(), ingress.background.clone()));
        Ok(ingress)
    }

    /// The addresses that it listens on, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses that speak TLS, in the order of the configuration.
    pub fn addresses_tls(&self) -> &[SocketAddr] {
        &self.addresses_tls
    }

    /// Resolves when a successor listens on the sockets of this one, which is to be stopped then.
    pub async fn until_succeeded(&self) {
        self.succeeded.cancelled().await;
    }

    /// Stops accepting, lets requests finish for the configured grace, ends the rest.
    pub async fn stop(self) {
        tracing::info!("the ingress stops");
        self.stop.cancel();
        self.connections.close();
        if tokio::time::timeout(self.shutdown_grace, self.connections.wait()).await.is_err() {
            let cut = self.registry.cut_all().await;
            tracing::warn!(cut, "requests did not end within the grace of the shutdown");
        }
        self.registry.sweep(Duration::ZERO);
        self.upstream.close();
        self.stop_admin.cancel();
        self.background.close();
        // Long calls of the admin API (a drain) end with their caller's connection.
        let rest = futures_util::future::join(self.background.wait(), self.upstream.wait());
        let _in_time = tokio::time::timeout(REST_WAIT, rest).await;
        tracing::info!("the ingress has stopped");
    }

    async fn begin(
        mut self,
        server: Arc<Server>,
        admin: Arc<Admin>,
        config: &IngressConfig,
        mut before: Option<Received>,
        files: Vec<OwnedFd>,
        engine: &Arc<Engine>,
    ) -> Result<Self, IngressError> {
        let (admin_socket, idle_max) = (&config.admin_socket, Duration::from_millis(config.limits.upstream_idle_ms));
        let mut listeners = Vec::new();
        let plain = config.listen.iter().map(|address| (address, Speaks::Plain));
        for (address, speaks) in plain.chain(config.listen_tls.iter().map(|address| (address, Speaks::Tls))) {
            let failed = |source| IngressError::Listen { address: *address, source };
            let given = before.as_mut().and_then(|before| before.take(*address, speaks == Speaks::Tls));
            let listener = match given {
                Some(socket) => server::listen_on(socket).map_err(failed)?,
                None => server::listen(*address).map_err(failed)?,
            };
            let bound = listener.local_addr().map_err(failed)?;
            if speaks == Speaks::Tls {
                self.addresses_tls.push(bound)
            } else {
                self.addresses.push(bound)
            }
            listeners.push((listener, speaks));
        }
        let admin_listener =
            admin::listen(admin_socket).map_err(|source| IngressError::AdminSocket { path: admin_socket.clone(), source })?;
        let letter = Letter { plain: config.listen.clone(), tls: config.listen_tls.clone(), files: files.len() };
        let sockets = listeners.iter().map(|(listener, _)| listener.as_fd().try_clone_to_owned());
        let sockets = sockets.chain(files.into_iter().map(Ok)).collect::<Result<Vec<_>, _>>().map_err(IngressError::TakeOver)?;
        let handover = admin::listen(&handover::path(admin_socket));
        let handover = handover.map_err(|source| IngressError::AdminSocket { path: handover::path(admin_socket), source })?;
        for (listener, speaks) in listeners {
            self.background.spawn(Arc::clone(&server).accept(listener, speaks));
        }
        let (succeeded, stop, pausing, engine) = (self.succeeded.clone(), self.stop.clone(), Arc::clone(&admin), Arc::clone(engine));
        self.background.spawn(async move {
            let borrowed: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            let pause = |is_paused| {
                pausing.is_paused.store(is_paused, std::sync::atomic::Ordering::Release);
                engine.pause(is_paused);
            };
            tokio::select! {
                () = stop.cancelled() => {}
                given = handover::serve(&handover, &letter, &borrowed, pause) => match given {
                    Ok(()) => succeeded.cancel(),
                    Err(error) => tracing::error!(%error, "no successor can take over"),
                },
            }
        });
        self.background.spawn(admin.accept(admin_listener, self.stop_admin.clone(), self.background.clone()));
        let (registry, stop) = (Arc::clone(&self.registry), self.stop.clone());
        self.background.spawn(async move {
            while tokio::time::timeout(PROBE_INTERVAL, stop.cancelled()).await.is_err() {
                registry.probe_unreachable().await;
            }
        });
        let (registry, stop) = (Arc::clone(&self.registry), self.stop.clone());
        self.background.spawn(async move {
            while tokio::time::timeout(SWEEP_INTERVAL, stop.cancelled()).await.is_err() {
                registry.sweep(idle_max);
            }
        });
        if let Some(before) = before {
            before.say_ready().await.map_err(IngressError::TakeOver)?;
        }
        tracing::info!(addresses = ?self.addresses, tls = ?self.addresses_tls, services = self.registry.list().len(), "the ingress listens");
        Ok(self)
    }
}

//! The ingress as a process of its own: started when it is not there, watched, started again when it dies, and left alone when
//! the control plane goes.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use deployer::process::{Detached, start_own_program};
use ingress::IngressClient;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::configuration::{self, Configuration};
use crate::data_dir::DataDir;
use crate::runtime::Stop;
use crate::say;

/// After it died: at once, then slower, so that a port taken by somebody else does not fill the log.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A process that lived this long is started again without a pause.
const STABLE_AFTER: Duration = Duration::from_secs(10);
const START_TIMEOUT: Duration = Duration::from_secs(10);
const START_POLL: Duration = Duration::from_millis(20);
/// Looks at a process that is not our child.
const WATCH_POLL: Duration = Duration::from_millis(250);
/// Its own grace is 30 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(45);
const LOG_SIZE_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LOG_TAIL_BYTES: u64 = 2000;
const PID_FILE: &str = "pid";
const LOG_FILE: &str = "log";
const LOCK_FILE: &str = "lock";

/// Variables that the process may inherit.
const ENVIRONMENT: &[&str] = &["PATH", "LANG", "TZ", "RUST_BACKTRACE"];

/// The process itself: `seaway ingress`.
///
/// # Errors
/// Another ingress uses this data folder, or a port is taken.
pub async fn run(configuration: Configuration, detached: bool, take_over: bool) -> Result<()> {
    if detached {
        // The caller's terminal, its Ctrl-C and its end are none of ours.
        rustix::process::setsid().context("the session cannot be left")?;
    }
    let stop = Stop::on_signals()?;
    // Its own part of the data folder and no more: a unit or a container shows it nothing else, neither key nor database.
    let folder = DataDir::open(&configuration::ingress::state_dir(&configuration.data_dir))?;
    let data_dir = folder.path().parent().unwrap_or(&configuration.data_dir);
    let folder = folder.path();
    let mut lock = OwnedFd::from(OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join(LOCK_FILE))?);
    let mut before = None;
    if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        if !take_over {
            bail!(
                "another ingress runs from {}; stop it with: seaway stop-ingress, or succeed it with: seaway ingress --take-over",
                data_dir.display()
            );
        }
        let asked = ingress::Received::ask(&configuration::ingress::admin_socket(data_dir)).await;
        let mut received = asked
            .context("the running ingress does not hand over")?
            .context("the running ingress is of a version that cannot hand over")?;
        // The lock comes with the sockets: it is held without a gap.
        lock = received.take_files().pop().context("the running ingress gave no lock")?;
        before = Some(received);
    }
    std::fs::write(folder.join(PID_FILE), std::process::id().to_string()).context("the process id cannot be stored")?;
    let config = configuration.ingress.of_process(data_dir);
    let running = ingress::run_after(config, before, vec![lock], stop.soft.cancelled_owned());
    tokio::select! {
        result = running => result?,
        () = stop.hard.cancelled() => bail!("stopped at once, as asked"),
    }
    // A successor has written its own.
    if std::fs::read_to_string(folder.join(PID_FILE)).is_ok_and(|text| text == std::process::id().to_string()) {
        let _gone = std::fs::remove_file(folder.join(PID_FILE));
    }
    Ok(())
}

/// Asks the ingress of this data folder to end, and waits for it.
///
/// # Errors
/// When it does not end in time.
pub async fn stop(data_dir: &Path) -> Result<()> {
    let client = IngressClient::new(configuration::ingress::admin_socket(data_dir));
    let Ok(health) = client.health().await else {
        say::line("the ingress does not run");
        return Ok(());
    };
    let pid = i32::try_from(health.pid).ok().and_then(Pid::from_raw).context("the ingress told no process id")?;
    kill_process(pid, Signal::TERM).context("the ingress cannot be signalled; run this as its user")?;
    let watch = Watch::of(pid);
    match tokio::time::timeout(STOP_TIMEOUT, watch.ended(&client)).await {
        Ok(()) => say::line("the ingress has stopped"),
        Err(_) => bail!("the ingress (process {}) did not stop within {} s", health.pid, STOP_TIMEOUT.as_secs()),
    }
    Ok(())
}

/// Keeps an ingress running.
pub struct Supervisor {
    client: IngressClient,
    folder: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Supervisor {
    /// # Errors
    /// The folder of the ingress cannot be made.
    pub fn new(configuration: &Configuration, data_dir: &DataDir) -> Result<Self> {
        let folder = data_dir.folder("ingress")?;
        let ingress = &configuration.ingress;
        let listen: Vec<String> = ingress.listen.iter().map(ToString::to_string).collect();
        let listen_tls: Vec<String> = ingress.listen_tls.iter().map(ToString::to_string).collect();
        let trusted: Vec<String> = ingress.trusted_proxies.iter().map(ToString::to_string).collect();
        // Everything that it needs, and no secret: neither the database's address nor a key.
        let mut environment: Vec<(OsString, OsString)> =
            ENVIRONMENT.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?))).collect();
        for (name, value) in [
            ("SEAWAY_DATA_DIR", data_dir.path().display().to_string()),
            ("SEAWAY_INGRESS_LISTEN", listen.join(",")),
            ("SEAWAY_INGRESS_LISTEN_TLS", listen_tls.join(",")),
            ("SEAWAY_INGRESS_PROXY_PROTOCOL", ingress.proxy_protocol.to_string()),
            ("SEAWAY_INGRESS_HTTPS_PORT", ingress.https_port.map(|port| port.to_string()).unwrap_or_default()),
            ("SEAWAY_INGRESS_TRUSTED_PROXIES", trusted.join(",")),
            ("SEAWAY_LOG", configuration.log.filter.clone()),
        ] {
            environment.push((name.into(), value.into()));
        }
        Ok(Self {
            client: IngressClient::new(configuration::ingress::admin_socket(data_dir.path())),
            folder,
            arguments: vec!["ingress".into(), "--detached".into()],
            environment,
        })
    }

    /// Watches until `stop`; the process itself goes on.
    pub async fn run(self, stop: CancellationToken) {
        let mut pause = PAUSE_FIRST;
        let mut own: Option<Detached> = None;
        while !stop.is_cancelled() {
            let began = Instant::now();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.one_life(&mut own) => {}
            }
            if began.elapsed() > STABLE_AFTER {
                pause = PAUSE_FIRST;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Finds or starts a process and returns when it has ended.
    async fn one_life(&self, own: &mut Option<Detached>) {
        if let Ok(health) = self.client.health().await {
            tracing::info!(pid = health.pid, services = health.services, "the ingress runs already");
            if let Some(pid) = i32::try_from(health.pid).ok().and_then(Pid::from_raw) {
                Watch::of(pid).ended(&self.client).await;
                tracing::warn!(pid = health.pid, "the ingress has ended; it is started again");
            }
            return;
        }
        let started = match self.start() {
            Ok(started) => own.insert(started),
            Err(error) => {
                tracing::error!("the ingress cannot be started: {error:#}");
                return;
            }
        };
        let pid = started.id();
        let answered = self.answers();
        tokio::select! {
            status = started.ended() => {
                tracing::error!(?status, "the ingress ended at its start: {}", self.log_tail());
                return;
            }
            answered = answered => match answered {
                true => tracing::info!(pid, "the ingress was started"),
                false => tracing::error!(pid, "the ingress does not answer; see {}", self.folder.join(LOG_FILE).display()),
            },
        }
        let status = started.ended().await;
        tracing::warn!(?status, pid, "the ingress has ended; it is started again");
    }

    async fn answers(&self) -> bool {
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if self.client.health().await.is_ok() {
                return true;
            }
            sleep(START_POLL).await;
        }
        false
    }

    fn start(&self) -> Result<Detached> {
        let path = self.folder.join(LOG_FILE);
        if path.metadata().is_ok_and(|metadata| metadata.len() > LOG_SIZE_BYTES_MAX) {
            std::fs::rename(&path, path.with_extension("old")).context("its log cannot be put aside")?;
        }
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).context("its log cannot be opened")?;
        start_own_program(&self.arguments, self.environment.clone(), log).context("the process cannot be started")
    }

    fn log_tail(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = std::fs::File::open(self.folder.join(LOG_FILE))?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).lines().rev().take(3).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(" | "))
        };
        read().unwrap_or_default()
    }
}

/// Notices the end of a process that is not our child: one system call per look, and no confusion with a reused process id.
struct Watch(Option<OwnedFd>);

impl Watch {
    fn of(pid: Pid) -> Self {
        Self(pidfd_open(pid, PidfdFlags::NONBLOCK).ok())
    }

    async fn ended(&self, client: &IngressClient) {
        loop {
            let lives = match &self.0 {
                Some(file) => matches!(poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&Timespec::default())), Ok(0)),
                // A kernel without pidfd.
                None => client.health().await.is_ok(),
            };
            if !lives {
                return;
            }
            sleep(WATCH_POLL).await;
        }
    }
}

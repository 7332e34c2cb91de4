//! What every use case works with.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use contract::instance::Feature;
use deployer::protocol::Server;
use domain::{Clock, Entropy};
use store::Store;
use tokio::sync::Semaphore;
use vault::password::PasswordHasher;
use vault::{KeyRing, MasterRing, Signer};

use crate::access::cache::{LocatedCache, MembershipCache, PrincipalCache};
use crate::audit::SyslogTarget;
use crate::deployments::Faults;
use crate::keys::Keys;
use crate::limits::Windows;
use crate::runs::terminal::Tickets;
use crate::wakes::Wakes;

/// Builds that one server may be asked to run at a time.
const BUILDS_AT_ONCE_MAX: u32 = 100;

/// Settings of the instance that come from the configuration, not from the database.
#[derive(Debug, Clone)]
pub struct ControlConfig {
    /// Base of every link; never taken from a request.
    pub base_url: String,
    /// Apps answer under `<service>-<environment>-<project>.<base domain>`.
    pub base_domain: String,
    /// Port of the ingress as people reach it; part of the app's URL when it is not the scheme's default.
    pub ingress_public_port: u16,
    pub ingress_https: bool,
    /// Uploads and other files of the control plane.
    pub data_dir: PathBuf,
    /// Sender of mails.
    pub mail_from: String,
    /// Host folders that bind mounts may use; empty: none.
    pub bind_allowed: Vec<PathBuf>,
    /// `http://` Git URLs besides https and ssh.
    pub git_over_http: bool,
    pub builds_at_once: u32,
    /// Switched off whatever the instance's settings say.
    pub features_off: BTreeSet<Feature>,
    /// Where the audit log goes besides the database.
    pub audit_syslog: Option<SyslogTarget>,
}

struct Parts {
    store: Store,
    keys: Keys,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    server: Arc<dyn Server>,
    mail: Arc<dyn mail::Transport>,
    config: ControlConfig,
    hasher: Arc<PasswordHasher>,
    windows: Windows,
    signer: Signer,
    principals: PrincipalCache,
    memberships: MembershipCache,
    places: LocatedCache,
    faults: Arc<dyn Faults>,
    tickets: Tickets,
    builds: Semaphore,
    health: crate::health::Remembered,
    wakes: Wakes,
}

/// Everything that the control plane is made of. Cheap to clone.
#[derive(Clone)]
pub struct Control(Arc<Parts>);

pub struct ControlParts {
    pub store: Store,
    pub ring: Arc<KeyRing>,
    pub masters: MasterRing,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub server: Arc<dyn Server>,
    pub mail: Arc<dyn mail::Transport>,
    pub config: ControlConfig,
    /// Where a test ends the process; [`crate::deployments::NoFaults`] otherwise.
    pub faults: Arc<dyn Faults>,
}

impl Control {
    pub fn new(parts: ControlParts) -> Self {
        let signer = parts.masters.current().signer("control");
        let builds = parts.config.builds_at_once;
        Self(Arc::new(Parts {
            keys: Keys::new(parts.ring, parts.masters, parts.clock.clone(), parts.entropy.clone()),
            store: parts.store,
            clock: parts.clock,
            entropy: parts.entropy,
            server: parts.server,
            mail: parts.mail,
            hasher: Arc::new(PasswordHasher::new()),
            windows: Windows::default(),
            config: parts.config,
            signer,
            principals: PrincipalCache::default(),
            memberships: MembershipCache::default(),
            places: LocatedCache::default(),
            faults: parts.faults,
            tickets: Tickets::default(),
            health: crate::health::Remembered::default(),
            builds: Semaphore::new(usize::try_from(builds.clamp(1, BUILDS_AT_ONCE_MAX)).unwrap_or(1)),
            wakes: Wakes::default(),
        }))
    }

    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The vault's keys: seal and open values of a tenant.
    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub fn clock(&self) -> &dyn Clock {
        self.0.clock.as_ref()
    }

    pub fn entropy(&self) -> &dyn Entropy {
        self.0.entropy.as_ref()
    }

    pub fn server(&self) -> &Arc<dyn Server> {
        &self.0.server
    }

    /// The way out for mails; only the delivering job uses it.
    pub fn mail(&self) -> &dyn mail::Transport {
        self.0.mail.as_ref()
    }

    pub(crate) fn hasher(&self) -> Arc<PasswordHasher> {
        Arc::clone(&self.0.hasher)
    }

    pub(crate) fn shared_entropy(&self) -> Arc<dyn Entropy> {
        Arc::clone(&self.0.entropy)
    }

    /// Counters of this process; see [`crate::limits`].
    pub(crate) fn windows(&self) -> &Windows {
        &self.0.windows
    }

    pub fn config(&self) -> &ControlConfig {
        &self.0.config
    }

    pub fn base_url(&self) -> &str {
        &self.0.config.base_url
    }

    /// Signs cursors and other short texts that come back from clients.
    pub fn signer(&self) -> &Signer {
        &self.0.signer
    }

    pub(crate) fn faults(&self) -> &dyn Faults {
        self.0.faults.as_ref()
    }

    /// Places for builds: a build waits for one, a release or rollback does not.
    pub(crate) fn builds(&self) -> &Semaphore {
        &self.0.builds
    }

    pub(crate) fn remembered_health(&self) -> &crate::health::Remembered {
        &self.0.health
    }

    /// Those who wait for an end.
    pub(crate) fn wakes(&self) -> &Wakes {
        &self.0.wakes
    }

    /// Wakes whoever waits for the deployment, run or operation, as soon as the unit is committed.
    pub(crate) fn wake_after(&self, write: &mut store::Write, id: uuid::Uuid) {
        let control = self.clone();
        write.after_commit(move || control.wakes().wake(id));
    }

    pub(crate) fn tickets(&self) -> &Tickets {
        &self.0.tickets
    }

    pub(crate) fn principals(&self) -> &PrincipalCache {
        &self.0.principals
    }

    pub(crate) fn memberships(&self) -> &MembershipCache {
        &self.0.memberships
    }

    pub(crate) fn places(&self) -> &LocatedCache {
        &self.0.places
    }

    /// Call it in every unit that revokes, removes or demotes: what is remembered about principals is forgotten with the commit.
    pub fn forget_access_after(&self, write: &mut store::Write) {
        let control = self.clone();
        write.after_commit(move || {
            control.principals().forget_all();
            control.memberships().forget_all();
        });
    }
}

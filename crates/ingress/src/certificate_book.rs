//! All desired certificates, accounts and DNS providers, with what became of them: on disk first, then visible.
//!
//! A key is its own record beside the certificate's, and stays on disk until the first handshake that needs it: ten thousand
//! certificates load in the time of reading their small records.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, Utc};
use domain::Clock;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{
    acme::{Progress, schedule},
    certificates::{
        AccountMaterial, AccountState, CertificateList, CertificateStanding, CertificateState, Desired, DesiredAccount, DesiredCertificate,
        DesiredError, DesiredProvider, Failure, Issuance, Material, ProviderState, Served,
    },
    key_text::KeyText,
    records::Records,
    tls::{self, Checked, Entry, Index, Rank},
    wire::Acknowledged,
};

#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error(transparent)]
    Invalid(#[from] DesiredError),
    #[error("{0}")]
    Unusable(#[from] tls::Unusable),
    #[error("generation {given} of {id} is older than the stored {stored}")]
    Stale { id: String, given: u64, stored: u64 },
    #[error("{0} is not known here")]
    Unknown(String),
    #[error("it could not be written, what was before stays: {0}")]
    Storage(#[from] io::Error),
    #[error("the self-signed certificate could not be made: {0}")]
    SelfSigned(#[from] rcgen::Error),
    /// In the authority's words.
    #[error("{0}")]
    Authority(String),
}

/// One certificate on disk. Without `desired` it is a tombstone that keeps the generation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CertificateRecord {
    pub generation: u64,
    pub desired: Option<DesiredCertificate>,
    pub served: Option<Served>,
    /// Of what is served, and how it came.
    #[serde(default)]
    pub served_names: Vec<String>,
    #[serde(default)]
    pub served_rank: Option<Rank>,
    #[serde(default)]
    pub progress: Progress,
    #[serde(default)]
    pub material_version: u64,
    #[serde(skip)]
    pub revision: u64,
    /// An order runs in this process.
    #[serde(skip)]
    pub is_ordering: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccountRecord {
    pub generation: u64,
    pub desired: Option<DesiredAccount>,
    pub url: Option<String>,
    /// With `desired.material` moved here.
    pub material: Option<AccountMaterial>,
    #[serde(default)]
    pub last_error: Option<Failure>,
    #[serde(default)]
    pub material_version: u64,
    #[serde(skip)]
    pub revision: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProviderRecord {
    pub generation: u64,
    pub desired: Option<DesiredProvider>,
}

/// Changes of one item are made one after the other; items of different shards do not wait for each other.
const SHARDS: usize = 64;

pub struct CertificateBook {
    index: Index,
    inner: Mutex<Inner>,
    shards: Vec<tokio::sync::Mutex<()>>,
    rest: tokio::sync::Mutex<()>,
    files: Arc<Files>,
    pub clock: Arc<dyn Clock>,
    revision: AtomicU64,
    /// Something is to be planned anew.
    pub changed: Notify,
}

impl std::fmt::Debug for CertificateBook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CertificateBook").field("names", &self.index.len()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Inner {
    certificates: HashMap<String, CertificateRecord>,
    entries: HashMap<String, Arc<Entry>>,
    accounts: HashMap<String, AccountRecord>,
    providers: HashMap<String, ProviderRecord>,
}

struct Files {
    certificates: Records<CertificateRecord>,
    keys: Records<Material>,
    accounts: Records<AccountRecord>,
    providers: Records<ProviderRecord>,
}

impl CertificateBook {
    /// Loads what is on disk. Revisions start from the time: they are higher than those of the process before.
    pub fn open(state_dir: &Path, clock: Arc<dyn Clock>, warnings: &mut Vec<String>) -> io::Result<Arc<Self>> {
        let files = Files {
            certificates: Records::open(state_dir, "certificates")?,
            keys: Records::open(state_dir, "certificate-keys")?,
            accounts: Records::open(state_dir, "acme-accounts")?,
            providers: Records::open(state_dir, "dns-providers")?,
        };
        let mut inner = Inner::default();
        let index = Index::default();
        let revision = u64::try_from(clock.now().timestamp_millis()).unwrap_or_default();
        for (id, mut record) in files.certificates.load(warnings) {
            record.revision = revision;
            publish(&index, &mut inner.entries, &id, &record);
            inner.certificates.insert(id, record);
        }
        for (id, mut record) in files.accounts.load(warnings) {
            record.revision = revision;
            inner.accounts.insert(id, record);
        }
        inner.providers = files.providers.load(warnings).into_iter().collect();
        Ok(Arc::new(Self {
            index,
            inner: Mutex::new(inner),
            shards: (0..SHARDS).map(|_| tokio::sync::Mutex::default()).collect(),
            rest: tokio::sync::Mutex::default(),
            files: Arc::new(files),
            clock,
            revision: AtomicU64::new(revision),
            changed: Notify::new(),
        }))
    }

    /// The certificate for a normalised name.
    pub fn find(&self, name: &str) -> Option<Arc<Entry>> {
        self.index.find(name, self.clock.now())
    }

    /// Whether a valid certificate for `name` is served.
    pub fn serves(&self, name: &str) -> bool {
        self.find(name).is_some_and(|entry| entry.not_after > self.clock.now())
    }

    /// The certificate for a name with its key in memory. `None`: there is none, or its key cannot be read.
    pub async fn ready(&self, name: &str) -> Option<Arc<Entry>> {
        let entry = self.find(name)?;
        if entry.key.load().is_none() {
            let checked = self.read_key(&entry.id).await;
            match checked {
                Ok(checked) => entry.key.store(Some(checked.key)),
                Err(error) => {
                    tracing::error!(certificate = %entry.id, %error, "the key of a certificate cannot be read");
                    return None;
                }
            }
        }
        Some(entry)
    }

    pub fn list(&self, since: Option<u64>) -> CertificateList {
        let (now, since) = (self.clock.now(), since.unwrap_or_default());
        let inner = self.inner();
        let mut list = CertificateList { revision: self.revision.load(Ordering::Acquire), ..CertificateList::default() };
        let newer = |(_, record): &(&String, &CertificateRecord)| record.revision > since || since == 0;
        list.certificates = inner.certificates.iter().filter(newer).filter_map(|(id, record)| state_of(id, record, now)).collect();
        list.certificates.sort_by(|a, b| a.id.cmp(&b.id));
        let newer = |(_, record): &(&String, &AccountRecord)| record.revision > since || since == 0;
        list.accounts = inner.accounts.iter().filter(newer).filter_map(|(id, record)| account_state_of(id, record)).collect();
        list.accounts.sort_by(|a, b| a.id.cmp(&b.id));
        let known = |(id, record): (&String, &ProviderRecord)| {
            record.desired.as_ref().map(|_| ProviderState { id: id.clone(), generation: record.generation })
        };
        list.providers = inner.providers.iter().filter_map(known).collect();
        list
    }

    pub fn state(&self, id: &str) -> Result<CertificateState, BookError> {
        let inner = self.inner();
        let state = inner.certificates.get(id).and_then(|record| state_of(id, record, self.clock.now()));
        state.ok_or_else(|| BookError::Unknown(id.to_owned()))
    }

    pub async fn material(&self, id: &str) -> Result<Material, BookError> {
        self.state(id)?.served.ok_or_else(|| BookError::Unknown(id.to_owned()))?;
        let (files, id) = (Arc::clone(&self.files), id.to_owned());
        Ok(blocking(move || files.keys.read(&id)).await?)
    }

    pub fn account_state(&self, id: &str) -> Result<AccountState, BookError> {
        let inner = self.inner();
        inner.accounts.get(id).and_then(|record| account_state_of(id, record)).ok_or_else(|| BookError::Unknown(id.to_owned()))
    }

    pub fn account(&self, id: &str) -> Option<AccountRecord> {
        self.inner().accounts.get(id).filter(|record| record.desired.is_some()).cloned()
    }

    pub fn provider(&self, id: &str) -> Option<DesiredProvider> {
        self.inner().providers.get(id).and_then(|record| record.desired.clone())
    }

    pub fn record(&self, id: &str) -> Option<CertificateRecord> {
        self.inner().certificates.get(id).cloned()
    }

    /// Ids for which `wanted` holds.
    pub fn select(&self, wanted: impl Fn(&CertificateRecord) -> bool) -> Vec<(String, String)> {
        let inner = self.inner();
        let chosen = inner.certificates.iter().filter(|(_, record)| wanted(record));
        chosen.map(|(id, record)| (id.clone(), record.desired.as_ref().map(|desired| desired.group.clone()).unwrap_or_default())).collect()
    }

    /// Checks, fences, writes, then serves it.
    pub async fn put_certificate(self: &Arc<Self>, desired: DesiredCertificate) -> Result<Acknowledged, BookError> {
        desired.validate()?;
        let (book, id) = (Arc::clone(self), desired.id.clone());
        detached(async move {
            let _serial = book.shard(&id).lock().await;
            let before = book.record(&id);
            fence(&id, desired.generation, before.as_ref().map(|record| record.generation))?;
            let (record, material) = book.accept(desired, before)?;
            book.store(&id, record, material).await
        })
        .await
    }

    pub async fn delete_certificate(self: &Arc<Self>, id: &str, generation: u64) -> Result<Acknowledged, BookError> {
        let (book, id) = (Arc::clone(self), id.to_owned());
        crate::routes::validate_id(&id).map_err(DesiredError::from)?;
        detached(async move {
            let _serial = book.shard(&id).lock().await;
            let before = book.record(&id);
            fence(&id, generation, before.as_ref().map(|record| record.generation))?;
            let acknowledged = book.store(&id, CertificateRecord::tombstone(generation), None).await?;
            let files = Arc::clone(&book.files);
            blocking(move || files.keys.remove(&id)).await?;
            Ok(acknowledged)
        })
        .await
    }

    /// Changes one certificate as its order goes on. `false`: it was replaced or removed meanwhile, nothing is changed.
    pub async fn update(
        self: &Arc<Self>,
        id: &str,
        generation: u64,
        change: impl FnOnce(&mut CertificateRecord) + Send + 'static,
    ) -> Result<bool, BookError> {
        let (book, id) = (Arc::clone(self), id.to_owned());
        detached(async move {
            let _serial = book.shard(&id).lock().await;
            let Some(mut record) = book.record(&id).filter(|record| record.generation == generation && record.desired.is_some()) else {
                return Ok(false);
            };
            change(&mut record);
            book.store(&id, record, None).await.map(|_| true)
        })
        .await
    }

    /// Serves what an authority issued. `false`: it was replaced or removed meanwhile.
    pub async fn issued(self: &Arc<Self>, id: &str, generation: u64, material: Material) -> Result<bool, BookError> {
        let checked = tls::check(&material)?;
        let (book, id) = (Arc::clone(self), id.to_owned());
        detached(async move {
            let _serial = book.shard(&id).lock().await;
            let Some(mut record) = book.record(&id).filter(|record| record.generation == generation) else { return Ok(false) };
            let Some(desired) = record.desired.clone() else { return Ok(false) };
            record.serve(&checked, &desired.names, Rank::Acme);
            record.progress = Progress {
                renew_at: Some(schedule::renew_at(&checked.served, &id)),
                ask_window_at: Some(book.clock.now()),
                ..Progress::default()
            };
            book.store(&id, record, Some(material)).await.map(|_| true)
        })
        .await
    }

    /// Changes what is only in memory (whether an order runs).
    pub fn mark(&self, id: &str, is_ordering: bool) {
        let revision = self.revision.fetch_add(1, Ordering::AcqRel) + 1;
        if let Some(record) = self.inner().certificates.get_mut(id) {
            record.is_ordering = is_ordering;
            record.revision = revision;
        }
    }

    pub async fn put_account(self: &Arc<Self>, desired: DesiredAccount) -> Result<Acknowledged, BookError> {
        desired.validate()?;
        let (id, generation) = (desired.id.clone(), desired.generation);
        self.change_account(&id, generation, move |before| {
            let mut desired = desired;
            let given = desired.material.take();
            // Another directory is another account.
            let same =
                before.as_ref().and_then(|record| record.desired.as_ref()).is_some_and(|old| old.directory_url == desired.directory_url);
            let kept = before.filter(|_| same);
            let version = kept.as_ref().map_or(0, |record| record.material_version);
            let (url, own) = kept.map_or((None, None), |record| (record.url, record.material));
            let material = own.or(given);
            AccountRecord { generation, desired: Some(desired), url, material, last_error: None, material_version: version, revision: 0 }
        })
        .await
    }

    pub async fn delete_account(self: &Arc<Self>, id: &str, generation: u64) -> Result<Acknowledged, BookError> {
        let gone = move |_| AccountRecord {
            generation,
            desired: None,
            url: None,
            material: None,
            last_error: None,
            material_version: 0,
            revision: 0,
        };
        self.change_account(id, generation, gone).await
    }

    /// What a registration, a roll or a failure changed.
    pub async fn update_account(
        self: &Arc<Self>,
        id: &str,
        change: impl FnOnce(&mut AccountRecord) + Send + 'static,
    ) -> Result<(), BookError> {
        let generation = self.account(id).ok_or_else(|| BookError::Unknown(id.to_owned()))?.generation;
        let changed = move |before: Option<AccountRecord>| {
            let mut record = before.unwrap_or(AccountRecord::empty(generation));
            change(&mut record);
            record
        };
        self.change_account(id, generation, changed).await.map(|_| ())
    }

    pub async fn put_provider(self: &Arc<Self>, desired: DesiredProvider) -> Result<Acknowledged, BookError> {
        desired.validate()?;
        let (id, generation) = (desired.id.clone(), desired.generation);
        self.change_provider(id, ProviderRecord { generation, desired: Some(desired) }).await
    }

    pub async fn delete_provider(self: &Arc<Self>, id: &str, generation: u64) -> Result<Acknowledged, BookError> {
        self.change_provider(id.to_owned(), ProviderRecord { generation, desired: None }).await
    }

    async fn change_provider(self: &Arc<Self>, id: String, record: ProviderRecord) -> Result<Acknowledged, BookError> {
        crate::routes::validate_id(&id).map_err(DesiredError::from)?;
        let book = Arc::clone(self);
        detached(async move {
            let _serial = book.shard(&id).lock().await;
            fence(&id, record.generation, book.inner().providers.get(&id).map(|record| record.generation))?;
            let (files, key, copy) = (Arc::clone(&book.files), id.clone(), record.clone());
            blocking(move || files.providers.write(&key, &copy)).await?;
            let generation = record.generation;
            book.inner().providers.insert(id.clone(), record);
            book.changed.notify_one();
            Ok(Acknowledged { service: id, generation })
        })
        .await
    }

    async fn change_account(
        self: &Arc<Self>,
        id: &str,
        generation: u64,
        change: impl FnOnce(Option<AccountRecord>) -> AccountRecord + Send + 'static,
    ) -> Result<Acknowledged, BookError> {
        crate::routes::validate_id(id).map_err(DesiredError::from)?;
        let (book, id) = (Arc::clone(self), id.to_owned());
        detached(async move {
            let _serial = book.shard(&id).lock().await;
            let before = book.inner().accounts.get(&id).cloned();
            fence(&id, generation, before.as_ref().map(|record| record.generation))?;
            let mut record = change(before);
            record.revision = book.revision.fetch_add(1, Ordering::AcqRel) + 1;
            let (files, key, copy) = (Arc::clone(&book.files), id.clone(), record.clone());
            blocking(move || files.accounts.write(&key, &copy)).await?;
            book.inner().accounts.insert(id.clone(), record);
            book.changed.notify_one();
            Ok(Acknowledged { service: id, generation })
        })
        .await
    }

    /// What a put becomes: keeps what is served, as far as it still fits.
    fn accept(
        &self,
        mut desired: DesiredCertificate,
        before: Option<CertificateRecord>,
    ) -> Result<(CertificateRecord, Option<Material>), BookError> {
        let now = self.clock.now();
        let given = desired.material.take();
        let mut record = before.unwrap_or_else(|| CertificateRecord::tombstone(desired.generation));
        record.generation = desired.generation;
        let is_repeat = record.desired.as_ref().is_some_and(|old| old.names == desired.names && old.how == desired.how);
        if !is_repeat {
            // The owner changed something: earlier failures do not delay the next attempt.
            record.progress.attempts = 0;
            record.progress.next_attempt_at = None;
            record.progress.last_error = None;
            record.progress.pending = None;
        }
        let mut material = None;
        match &mut desired.how {
            Issuance::Own { chain_pem, key_pem } => {
                let own = Material { chain_pem: std::mem::take(chain_pem), key_pem: std::mem::replace(key_pem, KeyText::new("")) };
                let checked = tls::check_own(&own, &desired.names, now)?;
                record.progress = Progress::default();
                record.serve(&checked, &desired.names, Rank::Own);
                material = Some(own);
            }
            Issuance::SelfSigned => {
                let renewed = record.served.as_ref().is_some_and(|served| schedule::is_in_first_two_thirds(served, now));
                if !(renewed && record.served_rank == Some(Rank::SelfSigned) && record.served_names == desired.names) {
                    let own = tls::self_signed(&desired.names, now)?;
                    record.serve(&tls::check(&own)?, &desired.names, Rank::SelfSigned);
                    material = Some(own);
                }
                record.progress = Progress::default();
                record.progress.renew_at = record.served.as_ref().map(|served| schedule::renew_at(served, &desired.id));
            }
            Issuance::Acme { .. } => {
                // After a restore: a copy that no longer fits is ordered anew, it is no error.
                if let Some(copy) = given.filter(|_| record.served.is_none())
                    && let Ok(checked) = tls::check_own(&copy, &desired.names, now)
                {
                    record.progress.renew_at = Some(schedule::renew_at(&checked.served, &desired.id));
                    record.progress.ask_window_at = Some(now);
                    record.serve(&checked, &desired.names, Rank::Acme);
                    material = Some(copy);
                }
            }
        }
        record.desired = Some(desired);
        Ok((record, material))
    }

    async fn store(&self, id: &str, mut record: CertificateRecord, material: Option<Material>) -> Result<Acknowledged, BookError> {
        record.revision = self.revision.fetch_add(1, Ordering::AcqRel) + 1;
        let (files, key, copy) = (Arc::clone(&self.files), id.to_owned(), record.clone());
        blocking(move || {
            if let Some(material) = material {
                files.keys.write(&key, &material)?;
            }
            files.certificates.write(&key, &copy)
        })
        .await?;
        let mut inner = self.inner();
        record.is_ordering = inner.certificates.get(id).is_some_and(|record| record.is_ordering);
        publish(&self.index, &mut inner.entries, id, &record);
        let acknowledged = Acknowledged { service: id.to_owned(), generation: record.generation };
        inner.certificates.insert(id.to_owned(), record);
        drop(inner);
        self.changed.notify_one();
        Ok(acknowledged)
    }

    async fn read_key(&self, id: &str) -> Result<Checked, BookError> {
        let (files, id) = (Arc::clone(&self.files), id.to_owned());
        let material = blocking(move || files.keys.read(&id)).await?;
        Ok(tls::check(&material)?)
    }

    fn shard(&self, id: &str) -> &tokio::sync::Mutex<()> {
        let sum = id.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        self.shards.get(sum % SHARDS).unwrap_or(&self.rest)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CertificateRecord {
    fn tombstone(generation: u64) -> Self {
        Self {
            generation,
            desired: None,
            served: None,
            served_names: Vec::new(),
            served_rank: None,
            progress: Progress::default(),
            material_version: 0,
            revision: 0,
            is_ordering: false,
        }
    }

    fn serve(&mut self, checked: &Checked, names: &[String], rank: Rank) {
        self.served = Some(checked.served.clone());
        self.served_names = names.to_vec();
        self.served_rank = Some(rank);
        self.material_version += 1;
    }
}

impl AccountRecord {
    fn empty(generation: u64) -> Self {
        Self { generation, desired: None, url: None, material: None, last_error: None, material_version: 0, revision: 0 }
    }
}

/// Serves the names that the certificate holds and that are still wanted.
fn publish(index: &Index, entries: &mut HashMap<String, Arc<Entry>>, id: &str, record: &CertificateRecord) {
    let before = entries.remove(id);
    if let (Some(desired), Some(served), Some(rank)) = (&record.desired, &record.served, record.served_rank) {
        let names: Vec<String> = record.served_names.iter().filter(|name| desired.names.contains(name)).cloned().collect();
        let entry = Arc::new(Entry::new(id, names, rank, served.not_after, &served.fingerprint));
        if let Some(before) = &before
            && before.fingerprint == entry.fingerprint
        {
            entry.key.store(before.key.load_full());
        }
        index.put(&entry);
        entries.insert(id.to_owned(), entry);
    }
    if let Some(before) = before {
        index.remove(&before);
    }
}

fn state_of(id: &str, record: &CertificateRecord, now: DateTime<Utc>) -> Option<CertificateState> {
    let desired = record.desired.as_ref()?;
    let progress = &record.progress;
    let is_expired = record.served.as_ref().is_some_and(|served| served.not_after <= now);
    let standing = match (&record.served, record.is_ordering) {
        (None, true) => CertificateStanding::Ordering,
        (None, false) if progress.last_error.is_some() => CertificateStanding::Failed,
        (None, false) => CertificateStanding::Waiting,
        (Some(_), _) if is_expired => CertificateStanding::Expired,
        (Some(_), true) => CertificateStanding::Renewing,
        (Some(_), false) if progress.last_error.is_some() => CertificateStanding::RenewalFailed,
        (Some(_), false) => CertificateStanding::Issued,
    };
    Some(CertificateState {
        id: id.to_owned(),
        generation: record.generation,
        names: desired.names.clone(),
        standing,
        served: record.served.clone(),
        renew_at: progress.renew_at,
        renew_at_is_suggested: progress.renew_at_is_suggested,
        last_error: progress.last_error.clone(),
        attempts: progress.attempts,
        next_attempt_at: schedule::next_attempt(record, now),
        days_left: record.served.as_ref().map(|served| (served.not_after - now).num_seconds().div_euclid(86_400)),
        revision: record.revision,
        material_version: record.material_version,
    })
}

fn account_state_of(id: &str, record: &AccountRecord) -> Option<AccountState> {
    record.desired.as_ref()?;
    Some(AccountState {
        id: id.to_owned(),
        generation: record.generation,
        url: record.url.clone(),
        last_error: record.last_error.clone(),
        revision: record.revision,
        material_version: record.material_version,
    })
}

fn fence(id: &str, given: u64, stored: Option<u64>) -> Result<(), BookError> {
    match stored {
        Some(stored) if given < stored => Err(BookError::Stale { id: id.to_owned(), given, stored }),
        _ => Ok(()),
    }
}

/// The work goes on when the caller is gone: half a change does not exist.
async fn detached<T: Send + 'static>(work: impl Future<Output = Result<T, BookError>> + Send + 'static) -> Result<T, BookError> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(BookError::Storage(io::Error::other(error))))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}

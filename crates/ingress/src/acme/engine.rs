//! Finds what is due, runs a few orders at a time, and writes down how each ended.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use instant_acme::CertificateIdentifier;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    account::{Accounts, Opened},
    answers::Answers,
    failure::OrderError,
    ledger::Ledger,
    order::Request,
    schedule::{self, Step},
};
use crate::{
    certificate_book::{BookError, CertificateBook, CertificateRecord},
    certificates::{Challenge, DesiredCertificate, FailureCause, Issuance},
    records::Records,
    tls,
};

/// Orders under way, all together.
const ORDERS_AT_ONCE_MAX: usize = 8;
/// Orders under way of one group.
const ORDERS_GROUP_AT_ONCE_MAX: usize = 3;
/// Looks at what is due, besides the looks after each change.
const TICK: Duration = Duration::from_secs(1);
/// The library gives a refused nonce up after three; a call of its own is made again this often.
const ROLL_ATTEMPTS_MAX: usize = 4;
/// An order whose nonces were refused goes on almost at once, this many times.
const NONCE_ATTEMPTS_MAX: u32 = 5;
const NONCE_PAUSE: TimeDelta = TimeDelta::seconds(1);
/// One order, all together; the waits within are shorter.
const ORDER_TIMEOUT: Duration = Duration::from_secs(15 * 60);

pub struct Engine {
    book: Arc<CertificateBook>,
    answers: Arc<Answers>,
    accounts: Accounts,
    ledgers: Mutex<HashMap<String, Ledger>>,
    ledger_files: Records<Ledger>,
    running: Mutex<Running>,
    /// Ends the orders under way; a new one after a pause.
    orders: Mutex<CancellationToken>,
}

#[derive(Default)]
struct Running {
    names: HashSet<String>,
    /// Of each group.
    groups: HashMap<String, usize>,
    count: usize,
}

impl Engine {
    /// # Errors
    /// The folder of the ledgers cannot be made.
    pub fn open(
        state_dir: &Path,
        book: Arc<CertificateBook>,
        answers: Arc<Answers>,
        warnings: &mut Vec<String>,
    ) -> std::io::Result<Arc<Self>> {
        let ledger_files = Records::open(state_dir, "acme-ledgers")?;
        let ledgers = ledger_files.load(warnings).into_iter().collect();
        let accounts = Accounts::new(Arc::clone(&book));
        Ok(Arc::new(Self {
            book,
            answers,
            accounts,
            ledgers: Mutex::new(ledgers),
            ledger_files,
            running: Mutex::default(),
            orders: Mutex::default(),
        }))
    }

    /// Runs until the stop. Orders under way end with it; they go on after the next start.
    pub async fn run(self: Arc<Self>, stop: CancellationToken, tasks: TaskTracker) {
        loop {
            self.begin_due(&stop, &tasks);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.book.changed.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// While a successor starts, nothing is ordered; what is under way is left to it.
    pub fn pause(&self, is_paused: bool) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if is_paused {
            orders.cancel();
        } else {
            *orders = CancellationToken::new();
        }
    }

    /// A new key for the account.
    ///
    /// # Errors
    /// In the authority's words.
    pub async fn roll(&self, account: &str) -> Result<(), BookError> {
        let mut rolled = self.accounts.roll(account).await;
        for _ in 1..ROLL_ATTEMPTS_MAX {
            match &rolled {
                Err(error) if error.is_nonce() => rolled = self.accounts.roll(account).await,
                _ => break,
            }
        }
        rolled.map_err(|error| BookError::Authority(error.message))
    }

    /// The next attempt begins now, whatever the back-off says.
    ///
    /// # Errors
    /// It is not known.
    pub async fn retry(&self, id: &str) -> Result<(), BookError> {
        let record = self.book.record(id).ok_or_else(|| BookError::Unknown(id.to_owned()))?;
        self.book.update(id, record.generation, |record| record.progress.next_attempt_at = None).await?;
        Ok(())
    }

    fn begin_due(self: &Arc<Self>, stop: &CancellationToken, tasks: &TaskTracker) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if orders.is_cancelled() {
            return;
        }
        let now = self.book.clock.now();
        for (id, group) in self.book.select(|record| schedule::step(record, now) != Step::Nothing) {
            let Some(record) = self.book.record(&id) else { continue };
            let Some(desired) = record.desired.clone() else { continue };
            let Some(slot) = Slot::take(self, &group, &desired.names) else { continue };
            self.book.mark(&id, true);
            let (engine, stop, orders) = (Arc::clone(self), stop.clone(), orders.clone());
            tasks.spawn(async move {
                let work = engine.act(&record, &desired, now);
                tokio::select! {
                    () = work => {}
                    () = stop.cancelled() => {}
                    () = orders.cancelled() => {}
                }
                engine.book.mark(&desired.id, false);
                drop(slot);
                engine.book.changed.notify_one();
            });
        }
    }

    async fn act(&self, record: &CertificateRecord, desired: &DesiredCertificate, now: DateTime<Utc>) {
        let result = match (schedule::step(record, now), &desired.how) {
            (Step::SignAgain, _) => self.book.put_certificate(desired.clone()).await.map(|_| ()).map_err(|error| internal(&error)),
            (Step::AskWindow, Issuance::Acme { account, .. }) => self.ask_window(record, desired, account).await,
            (Step::Order, Issuance::Acme { account, challenge, profile }) => {
                self.order(record, desired, account, challenge, profile.as_deref()).await
            }
            _ => Ok(()),
        };
        if let Err(error) = result {
            self.failed(record, desired, &error, None).await;
        }
    }

    async fn order(
        &self,
        record: &CertificateRecord,
        desired: &DesiredCertificate,
        account: &str,
        challenge: &Challenge,
        profile: Option<&str>,
    ) -> Result<(), OrderError> {
        let now = self.book.clock.now();
        let is_renewal = record.served.is_some();
        let is_resumed = record.progress.pending.is_some();
        if !is_resumed && let Err((until, limit)) = self.ledger(account).may_order(&desired.group, &desired.names, is_renewal, now) {
            let error = OrderError::new(FailureCause::RateLimited, format!("held back before the authority's limit: {limit}"));
            self.failed(record, desired, &error, Some(until)).await;
            return Ok(());
        }
        let opened = match self.accounts.open(account).await {
            Ok(opened) => opened,
            Err(error) => {
                self.note_account(account, &error).await;
                return Err(error);
            }
        };
        if !is_resumed {
            self.write_ledger(account, |ledger| ledger.ordered(&desired.group, now));
        }
        let replaces = if is_renewal { self.identifier(&desired.id).await } else { None };
        let request = Request {
            book: &self.book,
            answers: &self.answers,
            opened: &opened,
            desired,
            challenge,
            profile,
            replaces,
            pending: record.progress.pending.clone(),
        };
        let obtained = tokio::time::timeout(ORDER_TIMEOUT, Box::pin(request.obtain())).await;
        let obtained = obtained.unwrap_or_else(|_| Err(OrderError::new(FailureCause::AuthorityDown, "the order did not end in time")));
        match obtained {
            Ok(material) => {
                self.book.issued(&desired.id, desired.generation, material).await.map_err(|error| internal(&error))?;
                tracing::info!(certificate = %desired.id, names = ?desired.names, "a certificate was issued");
                Ok(())
            }
            Err(error) => {
                let now = self.book.clock.now();
                self.write_ledger(account, |ledger| error.failed_names.iter().for_each(|name| ledger.failed(name, now)));
                let told = opened.web.take_retry_after().and_then(|wait| TimeDelta::from_std(wait).ok()).map(|wait| now + wait);
                if let (FailureCause::RateLimited, Some(until)) = (error.cause, told)
                    && error.message.contains("account")
                {
                    self.write_ledger(account, |ledger| ledger.shut(until));
                }
                if error.cause == FailureCause::Account && error.message.contains("accountDoesNotExist") {
                    self.accounts.forget(account).await;
                }
                self.failed(record, desired, &error, told).await;
                Ok(())
            }
        }
    }

    /// RFC 9773: when the authority wants it renewed. Early, when it will revoke.
    async fn ask_window(&self, record: &CertificateRecord, desired: &DesiredCertificate, account: &str) -> Result<(), OrderError> {
        let now = self.book.clock.now();
        let mut again = Some(now + schedule::WINDOW_AGAIN);
        let mut window = None;
        match (self.identifier(&desired.id).await, self.accounts.open(account).await) {
            (Some(identifier), Ok(Opened { account, .. })) => match account.renewal_info(&identifier).await {
                Ok((info, wait)) => {
                    let at = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap_or(now);
                    let suggested = info.suggested_window;
                    let (start, end) = (at(suggested.start.unix_timestamp()), at(suggested.end.unix_timestamp()));
                    let serial = record.served.as_ref().map(|served| served.serial.clone()).unwrap_or_default();
                    window = Some(schedule::within(start, end, &desired.id, &serial));
                    // At least a minute: an authority that says 0 is not asked without end.
                    again = TimeDelta::from_std(wait).ok().map(|wait| now + wait.max(TimeDelta::minutes(1)));
                }
                Err(instant_acme::Error::Unsupported(_)) => again = None,
                Err(error) => tracing::debug!(certificate = %desired.id, %error, "the renewal window was not told"),
            },
            (None, _) => again = None,
            (_, Err(error)) => tracing::debug!(certificate = %desired.id, message = %error.message, "the renewal window was not told"),
        }
        let changed = self.book.update(&desired.id, desired.generation, move |record| {
            record.progress.ask_window_at = again;
            if let Some(at) = window {
                record.progress.renew_at = Some(at);
                record.progress.renew_at_is_suggested = true;
            }
        });
        changed.await.map(|_| ()).map_err(|error| internal(&error))
    }

    async fn failed(&self, record: &CertificateRecord, desired: &DesiredCertificate, error: &OrderError, until: Option<DateTime<Utc>>) {
        let now = self.book.clock.now();
        let failure = error.failure(now);
        // What we hold back ourselves is no attempt.
        let attempts = record.progress.attempts + u32::from(!error.message.starts_with("held back"));
        let next = match until {
            Some(until) if error.message.starts_with("held back") => until,
            _ if error.is_nonce() && attempts < NONCE_ATTEMPTS_MAX => now + NONCE_PAUSE,
            until => schedule::back_off(error.cause, attempts, &desired.id, until, now),
        };
        let is_final = error.is_final;
        tracing::warn!(certificate = %desired.id, names = ?desired.names, cause = ?error.cause, %next, "an order failed: {}", error.message);
        let changed = self.book.update(&desired.id, desired.generation, move |record| {
            record.progress.attempts = attempts;
            record.progress.next_attempt_at = Some(next);
            record.progress.last_error = Some(failure);
            if is_final {
                record.progress.pending = None;
            }
        });
        if let Err(error) = changed.await {
            tracing::error!(certificate = %desired.id, %error, "the failure of an order could not be written down");
        }
    }

    /// The account's own state shows it too: it is one fault, not one of each certificate.
    async fn note_account(&self, account: &str, error: &OrderError) {
        let failure = error.failure(self.book.clock.now());
        let noted = self.book.update_account(account, move |record| record.last_error = Some(failure));
        if let Err(error) = noted.await {
            tracing::debug!(account, %error, "the failure of an account could not be written down");
        }
    }

    async fn identifier(&self, id: &str) -> Option<CertificateIdentifier<'static>> {
        let material = self.book.material(id).await.ok()?;
        let checked = tls::check(&material).ok()?;
        CertificateIdentifier::try_from(&checked.leaf).ok().map(CertificateIdentifier::into_owned)
    }

    fn ledger(&self, account: &str) -> Ledger {
        self.ledgers().get(account).cloned().unwrap_or_default()
    }

    fn write_ledger(&self, account: &str, change: impl FnOnce(&mut Ledger)) {
        let copy = {
            let mut ledgers = self.ledgers();
            let ledger = ledgers.entry(account.to_owned()).or_default();
            change(ledger);
            ledger.clone()
        };
        // Losing it costs caution, not correctness.
        if let Err(error) = self.ledger_files.write(account, &copy) {
            tracing::warn!(account, %error, "the ledger of orders could not be written");
        }
    }

    fn ledgers(&self) -> MutexGuard<'_, HashMap<String, Ledger>> {
        self.ledgers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to run one order; one for each name (a name and its wildcard share a TXT record, so they count as one).
struct Slot {
    engine: Arc<Engine>,
    group: String,
    names: Vec<String>,
}

impl Slot {
    fn take(engine: &Arc<Engine>, group: &str, names: &[String]) -> Option<Self> {
        let mut running = engine.running.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<String> = names.iter().map(|name| name.trim_start_matches("*.").to_owned()).collect();
        let of_group = running.groups.get(group).copied().unwrap_or_default();
        let is_full = running.count >= ORDERS_AT_ONCE_MAX || of_group >= ORDERS_GROUP_AT_ONCE_MAX;
        if is_full || names.iter().any(|name| running.names.contains(name)) {
            return None;
        }
        running.count += 1;
        running.names.extend(names.iter().cloned());
        *running.groups.entry(group.to_owned()).or_default() += 1;
        Some(Self { engine: Arc::clone(engine), group: group.to_owned(), names })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut running = self.engine.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.count -= 1;
        for name in &self.names {
            running.names.remove(name);
        }
        if let Some(count) = running.groups.get_mut(&self.group) {
            *count -= 1;
            if *count == 0 {
                running.groups.remove(&self.group);
            }
        }
    }
}

fn internal(error: &dyn std::fmt::Display) -> OrderError {
    OrderError::new(FailureCause::Internal, error.to_string())
}

//! Units of work: [`Read`] looks, [`Write`] changes all or nothing.

use std::future::Future;
use std::sync::Arc;

use sqlx::{Postgres, Sqlite, Transaction};

use crate::backend::{Outcome, Want, run_postgres, run_sqlite};
use crate::database::{Pool, Shared};
use crate::statement::{expand, is_query};
use crate::{AnyRow, Dialect, Parameter, Row, StoreError};

/// What both kinds of unit can do; lookups take `&mut impl Unit` and so work inside and outside of a write.
///
/// Use the macros `fetch_all!`, `fetch_optional!` and `fetch_one!`.
pub trait Unit: Send {
    fn dialect(&self) -> Dialect;

    /// Runs a text (already expanded) and gives its rows.
    fn rows(
        &mut self,
        text: String,
        parameters: Vec<Parameter>,
        first_only: bool,
    ) -> impl Future<Output = Result<Vec<AnyRow>, StoreError>> + Send;

    /// Every row of the statement. Bound it by its nature or a LIMIT.
    fn fetch_all<R: Row>(
        &mut self,
        text: &'static str,
        parameters: Vec<Parameter>,
    ) -> impl Future<Output = Result<Vec<R>, StoreError>> + Send {
        async move {
            let text = expand(text, R::COLUMNS, self.dialect()).into_owned();
            let rows = self.rows(text, parameters, false).await?;
            rows.iter().map(R::read).collect()
        }
    }

    /// The first row, `None` when there is none.
    fn fetch_optional<R: Row>(
        &mut self,
        text: &'static str,
        parameters: Vec<Parameter>,
    ) -> impl Future<Output = Result<Option<R>, StoreError>> + Send {
        async move {
            let text = expand(text, R::COLUMNS, self.dialect()).into_owned();
            let rows = self.rows(text, parameters, true).await?;
            rows.first().map(R::read).transpose()
        }
    }

    /// The first row; `NotFound` when there is none (the unit stays alive).
    fn fetch_one<R: Row>(&mut self, text: &'static str, parameters: Vec<Parameter>) -> impl Future<Output = Result<R, StoreError>> + Send {
        async move { self.fetch_optional(text, parameters).await?.ok_or(StoreError::NotFound { row: R::NAME }) }
    }
}

/// Reads, each query by itself.
#[derive(Clone)]
pub struct Read {
    pub(crate) shared: Arc<Shared>,
}

impl Unit for Read {
    fn dialect(&self) -> Dialect {
        self.shared.dialect()
    }

    async fn rows(&mut self, text: String, parameters: Vec<Parameter>, first_only: bool) -> Result<Vec<AnyRow>, StoreError> {
        if !is_query(&text) {
            return Err(StoreError::ReadOnly { statement: text });
        }
        let want = if first_only { Want::First } else { Want::All };
        let outcome = match &self.shared.pool {
            Pool::Sqlite { readers, .. } => run_sqlite(readers, text, parameters, want).await,
            Pool::Postgres(pool) => run_postgres(pool, text, parameters, want).await,
        };
        match outcome.map_err(|error| self.shared.error(error))? {
            Outcome::Rows(rows) => Ok(rows),
            Outcome::Affected(_) => Ok(Vec::new()),
        }
    }
}

pub(crate) enum AnyTransaction {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

type AfterCommit = Box<dyn FnOnce() + Send>;

/// Changes; committed as a whole, or dropped and forgotten as a whole.
///
/// After its first error it is dead: further calls and the commit say `UnitDead`, on both databases alike (PostgreSQL
/// aborts a transaction at its first error, SQLite by itself would not).
#[must_use = "a write unit that is not committed changes nothing"]
pub struct Write {
    shared: Arc<Shared>,
    transaction: AnyTransaction,
    alive: bool,
    changed: bool,
    audited: bool,
    jobs_enqueued: bool,
    after_commit: Vec<AfterCommit>,
}

impl Write {
    pub(crate) fn new(shared: Arc<Shared>, transaction: AnyTransaction) -> Self {
        Self { shared, transaction, alive: true, changed: false, audited: false, jobs_enqueued: false, after_commit: Vec::new() }
    }

    /// Runs a statement and gives the number of rows it changed. Use the macro `execute!`.
    pub async fn execute(&mut self, text: &'static str, parameters: Vec<Parameter>) -> Result<u64, StoreError> {
        let text = expand(text, &[], self.dialect()).into_owned();
        match self.run(text, parameters, Want::Affected).await? {
            Outcome::Affected(count) => Ok(count),
            Outcome::Rows(rows) => Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX)),
        }
    }

    /// Commits a unit that holds an audit entry or has changed nothing; `NotAudited` otherwise.
    pub async fn commit(self) -> Result<(), StoreError> {
        if self.changed && !self.audited {
            return Err(StoreError::NotAudited);
        }
        self.finish().await
    }

    /// Commits bookkeeping that no person's action caused (leases, expiry, delivery marks). The reason is for the reader
    /// of the code and of the trace log.
    pub async fn commit_without_audit(self, reason: &'static str) -> Result<(), StoreError> {
        tracing::trace!(reason, "commit without an audit entry");
        self.finish().await
    }

    /// Does something in memory (wake a waiter) once the commit has succeeded.
    pub fn after_commit(&mut self, action: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(action));
    }

    /// Until this unit ends, no other unit on any process passes the same line with the same name.
    ///
    /// For "read, decide, write" over more than one row. SQLite's write units are alone anyway.
    pub async fn exclusive(&mut self, name: &str) -> Result<(), StoreError> {
        if self.dialect() == Dialect::Sqlite {
            return Ok(());
        }
        // Advisory locks exist only in PostgreSQL; released with the transaction.
        let text = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))::text AS value".to_owned();
        self.run(text, vec![Parameter::Text(Some(name.to_owned()))], Want::First).await.map(|_| ())
    }

    pub(crate) fn mark_audited(&mut self) {
        self.audited = true;
    }

    pub(crate) fn mark_jobs_enqueued(&mut self) {
        self.jobs_enqueued = true;
    }

    async fn finish(self) -> Result<(), StoreError> {
        if !self.alive {
            return Err(StoreError::UnitDead);
        }
        let result = match self.transaction {
            AnyTransaction::Sqlite(transaction) => {
                let number = self.shared.commits.begin();
                let result = transaction.commit().await;
                self.shared.commits.end(number);
                result
            }
            AnyTransaction::Postgres(transaction) => transaction.commit().await,
        };
        result.map_err(|error| self.shared.error(error))?;
        if self.jobs_enqueued {
            self.shared.tell_jobs_enqueued();
        }
        for action in self.after_commit {
            action();
        }
        Ok(())
    }

    pub(crate) async fn run(&mut self, text: String, parameters: Vec<Parameter>, want: Want) -> Result<Outcome, StoreError> {
        if !self.alive {
            return Err(StoreError::UnitDead);
        }
        self.changed |= !is_query(&text);
        // Dead until the answer is here: a call that is cancelled half-way leaves nobody knows what.
        self.alive = false;
        let outcome = match &mut self.transaction {
            AnyTransaction::Sqlite(transaction) => run_sqlite(&mut **transaction, text, parameters, want).await,
            AnyTransaction::Postgres(transaction) => run_postgres(&mut **transaction, text, parameters, want).await,
        };
        let outcome = outcome.map_err(|error| self.shared.error(error))?;
        self.alive = true;
        Ok(outcome)
    }
}

impl Unit for Write {
    fn dialect(&self) -> Dialect {
        self.shared.dialect()
    }

    async fn rows(&mut self, text: String, parameters: Vec<Parameter>, first_only: bool) -> Result<Vec<AnyRow>, StoreError> {
        // A changing statement with RETURNING must run to its end, or SQLite stops after its first row.
        let want = if first_only && is_query(&text) { Want::First } else { Want::All };
        match self.run(text, parameters, want).await? {
            Outcome::Rows(rows) => Ok(rows),
            Outcome::Affected(_) => Ok(Vec::new()),
        }
    }
}

impl Shared {
    pub(crate) fn dialect(&self) -> Dialect {
        match self.pool {
            Pool::Sqlite { .. } => Dialect::Sqlite,
            Pool::Postgres(_) => Dialect::Postgres,
        }
    }
}

/// `fetch_all!(unit, Row, "SELECT {columns} FROM t WHERE a = $1", a)`: every row.
#[macro_export]
macro_rules! fetch_all {
    ($unit:expr, $row:ty, $text:expr $(, $value:expr)* $(,)?) => {
        $crate::Unit::fetch_all::<$row>($unit, $text, vec![$($crate::Bind::parameter($value)),*])
    };
}

/// `fetch_optional!(unit, Row, "…", …)`: the first row or `None`.
#[macro_export]
macro_rules! fetch_optional {
    ($unit:expr, $row:ty, $text:expr $(, $value:expr)* $(,)?) => {
        $crate::Unit::fetch_optional::<$row>($unit, $text, vec![$($crate::Bind::parameter($value)),*])
    };
}

/// `fetch_one!(unit, Row, "…", …)`: the first row or `StoreError::NotFound`.
#[macro_export]
macro_rules! fetch_one {
    ($unit:expr, $row:ty, $text:expr $(, $value:expr)* $(,)?) => {
        $crate::Unit::fetch_one::<$row>($unit, $text, vec![$($crate::Bind::parameter($value)),*])
    };
}

/// `execute!(write, "UPDATE …", …)`: the number of changed rows.
#[macro_export]
macro_rules! execute {
    ($write:expr, $text:expr $(, $value:expr)* $(,)?) => {
        $crate::Write::execute($write, $text, vec![$($crate::Bind::parameter($value)),*])
    };
}

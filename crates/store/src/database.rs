//! Opening the database and handing out units of work.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::Notify;

use crate::backend::Names;
use crate::migrations;
use crate::standing::Commits;
use crate::unit::AnyTransaction;
use crate::{Dialect, Read, StoreError, Write};

/// Connections that read at the same time. SQLite has one thread for each.
const SQLITE_READERS_MAX: u32 = 4;
const POSTGRES_CONNECTIONS_MAX: u32 = 16;
/// Pages and prepared statements that each SQLite connection keeps: five connections, so this times five is what they cost.
const SQLITE_CACHE_KIB: u32 = 1024;
const SQLITE_STATEMENTS_MAX: usize = 100;
/// How long a unit waits for its turn before the database counts as not available.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// Waiting for another *process* that holds SQLite's write lock (the client verbs on the same machine).
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// No statement of a control plane needs longer; a stuck one must not hold a connection for ever.
const POSTGRES_STATEMENT_TIMEOUT: &str = "30s";
/// By these PostgreSQL tells who is connected.
pub(crate) const APPLICATION_NAME: &str = "seaway";
pub(crate) const APPLICATION_NAME_RESTORE: &str = "seaway-restore";
const POSTGRES_IDLE_IN_TRANSACTION_TIMEOUT: &str = "60s";

/// Table, row, table referred to, number of the key: a row of SQLite's `foreign_key_check`.
type BrokenReference = (String, Option<i64>, String, i64);

/// What a commit promises when the power fails (`kill -9` loses nothing in either case).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Each commit is on the disk before it is answered: an accepted push must not be forgotten. The default.
    #[default]
    PowerLoss,
    /// The newest commits may be lost when the machine loses power; for tests.
    ProcessDeath,
}

/// The database of the control plane. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) pool: Pool,
    pub(crate) names: OnceLock<Names>,
    pub(crate) no_names: Names,
    pub(crate) commits: Commits,
    jobs_enqueued: Notify,
}

pub(crate) enum Pool {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres(PgPool),
}

impl Store {
    /// Opens `postgres://…`, `sqlite:PATH` or a plain path (created with mode 0600 when missing). Does not migrate.
    ///
    /// Errors: `Address` for another scheme, `Unavailable` when it cannot be reached or written.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, Durability::default()).await
    }

    pub async fn open_with(url: &str, durability: Durability) -> Result<Self, StoreError> {
        let pool = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            open_postgres(url, durability, None).await?
        } else {
            open_sqlite(&sqlite_path(url)?, durability).await?
        };
        let shared =
            Shared { pool, names: OnceLock::new(), no_names: Names::default(), commits: Commits::default(), jobs_enqueued: Notify::new() };
        let store = Self { shared: Arc::new(shared) };
        store.learn_names().await?;
        Ok(store)
    }

    /// Opens PostgreSQL with this schema in place of the usual one: where a restore is prepared beside what serves.
    pub async fn open_in_schema(url: &str, schema: &str) -> Result<Self, StoreError> {
        let pool = open_postgres(url, Durability::default(), Some(schema)).await?;
        let shared =
            Shared { pool, names: OnceLock::new(), no_names: Names::default(), commits: Commits::default(), jobs_enqueued: Notify::new() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Brings the schema up to date; does nothing when it is. Safe to call from several processes at once on PostgreSQL.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.migrate_to(i64::MAX).await
    }

    /// Brings an empty database to an older schema, to load a backup of that time; [`Store::migrate`] does the rest.
    pub async fn migrate_to(&self, number: i64) -> Result<(), StoreError> {
        migrations::run(&self.shared.pool, number).await?;
        self.learn_names().await
    }

    pub fn dialect(&self) -> Dialect {
        match self.shared.pool {
            Pool::Sqlite { .. } => Dialect::Sqlite,
            Pool::Postgres(_) => Dialect::Postgres,
        }
    }

    /// A unit that only reads. It holds no connection between its queries and no snapshot; cheap.
    pub async fn read(&self) -> Result<Read, StoreError> {
        Ok(Read { shared: Arc::clone(&self.shared) })
    }

    /// A unit that changes things: all of it or nothing. On SQLite it waits (in order) for the one writer.
    ///
    /// Open it late and commit soon: no call to the outside while it is open.
    pub async fn write(&self) -> Result<Write, StoreError> {
        let transaction = match &self.shared.pool {
            // IMMEDIATE takes the write lock at once; a unit that reads first and locks later fails busy (measured).
            Pool::Sqlite { writer, .. } => writer.begin_with("BEGIN IMMEDIATE").await.map(AnyTransaction::Sqlite),
            Pool::Postgres(pool) => pool.begin().await.map(AnyTransaction::Postgres),
        };
        let transaction = transaction.map_err(|error| self.shared.error(error))?;
        Ok(Write::new(Arc::clone(&self.shared), transaction))
    }

    /// Told after each commit that enqueued a job in this process; the runner waits on it.
    pub fn jobs_enqueued(&self) -> &Notify {
        &self.shared.jobs_enqueued
    }

    /// Waits for open units and closes every connection.
    pub async fn close(&self) {
        match &self.shared.pool {
            Pool::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pool::Postgres(pool) => pool.close().await,
        }
    }

    /// A consistent copy of a SQLite database while it is in use; PostgreSQL has its own tools (`Address` error).
    pub async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let Pool::Sqlite { readers, .. } = &self.shared.pool else {
            return Err(StoreError::Address { reason: "PostgreSQL is copied with pg_dump".to_owned() });
        };
        let target = path.to_str().ok_or_else(|| StoreError::Address { reason: "path is not UTF-8".to_owned() })?;
        let result = sqlx::query("VACUUM INTO $1").bind(target).execute(readers).await;
        result.map(|_| ()).map_err(|error| self.shared.error(error))
    }

    /// Faults that the database finds in itself, in its own words; empty when it is sound. SQLite checks every page, index and
    /// foreign key; PostgreSQL is asked to read every table, which its checksums guard.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be asked.
    pub async fn integrity(&self) -> Result<Vec<String>, StoreError> {
        let mut faults = Vec::new();
        match &self.shared.pool {
            Pool::Sqlite { readers, .. } => {
                let told: Result<Vec<(String,)>, _> = sqlx::query_as("PRAGMA integrity_check(20)").fetch_all(readers).await;
                match told {
                    Ok(rows) => faults.extend(rows.into_iter().map(|row| row.0).filter(|text| text != "ok")),
                    // Damage may keep the check itself from ending.
                    Err(sqlx::Error::Database(error)) => faults.push(error.message().to_owned()),
                    Err(error) => return Err(self.shared.error(error)),
                }
                match sqlx::query_as::<_, BrokenReference>("PRAGMA foreign_key_check").fetch_all(readers).await {
                    Ok(rows) => faults.extend(
                        rows.into_iter().take(20).map(|(table, _, parent, _)| format!("a row of {table} refers to nothing in {parent}")),
                    ),
                    // On damaged pages this check cannot end; the first one has told where.
                    Err(error) => faults.push(format!("references cannot be checked: {error}")),
                }
            }
            Pool::Postgres(pool) => {
                let tables: Vec<(String,)> = sqlx::query_as("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()")
                    .fetch_all(pool)
                    .await
                    .map_err(|error| self.shared.error(error))?;
                for (table,) in tables {
                    // The name comes from the catalogue; the statement cannot take it as a value.
                    let text = format!("SELECT count(t.*) FROM \"{}\" t", table.replace('"', "\"\""));
                    if let Err(error) = sqlx::query(sqlx::AssertSqlSafe(text)).fetch_one(pool).await {
                        faults.push(format!("{table}: {error}"));
                    }
                }
            }
        }
        Ok(faults)
    }

    async fn learn_names(&self) -> Result<(), StoreError> {
        let Pool::Sqlite { readers, .. } = &self.shared.pool else { return Ok(()) };
        let sql = "SELECT m.name, l.name, l.origin, group_concat(i.name, ',') FROM sqlite_master m, \
                   pragma_index_list(m.name) l, pragma_index_info(l.name) i \
                   WHERE m.type = 'table' AND l.\"unique\" = 1 AND i.name IS NOT NULL GROUP BY m.name, l.name, l.origin";
        let rows: Vec<(String, String, String, String)> =
            sqlx::query_as(sql).fetch_all(readers).await.map_err(|error| self.shared.error(error))?;
        if !rows.is_empty() {
            let split = |columns: String| columns.split(',').map(str::to_owned).collect();
            let indexes = rows.into_iter().map(|(table, index, origin, columns)| (table, index, origin, split(columns)));
            // Learnt once, after the first migration or at opening; a second call finds the same names.
            let _ = self.shared.names.set(Names::new(indexes));
        }
        Ok(())
    }
}

impl Shared {
    pub(crate) fn error(&self, error: sqlx::Error) -> StoreError {
        StoreError::from_sqlx(error, self.names.get().unwrap_or(&self.no_names))
    }

    pub(crate) fn tell_jobs_enqueued(&self) {
        self.jobs_enqueued.notify_one();
    }
}

fn sqlite_path(url: &str) -> Result<PathBuf, StoreError> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).unwrap_or(url);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path.is_empty() || path.contains("://") || path == ":memory:" {
        let reason = "expected postgres://…, sqlite:PATH or a path".to_owned();
        return Err(StoreError::Address { reason });
    }
    Ok(PathBuf::from(path))
}

async fn open_sqlite(path: &Path, durability: Durability) -> Result<Pool, StoreError> {
    create_private(path).map_err(|error| StoreError::Unavailable(sqlx::Error::Io(error)))?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        // Negative: KiB, not pages.
        .pragma("cache_size", format!("-{SQLITE_CACHE_KIB}"))
        .statement_cache_capacity(SQLITE_STATEMENTS_MAX);
    let synchronous = match durability {
        Durability::PowerLoss => SqliteSynchronous::Full,
        Durability::ProcessDeath => SqliteSynchronous::Off,
    };
    let writer = options.clone().journal_mode(SqliteJournalMode::Wal).synchronous(synchronous);
    let pool =
        || SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).idle_timeout(None).max_lifetime(None).test_before_acquire(false);
    let no_names = Names::default();
    let error = |error| StoreError::from_sqlx(error, &no_names);
    // The writer first: it creates the WAL that a read-only connection needs.
    let writer = pool().max_connections(1).connect_with(writer).await.map_err(error)?;
    let readers = pool().max_connections(SQLITE_READERS_MAX).connect_with(options.read_only(true)).await.map_err(error)?;
    Ok(Pool::Sqlite { writer, readers })
}

/// Creates the file (and its folder) for its owner alone; WAL and shared memory files inherit the mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(|_| ())
}

async fn open_postgres(url: &str, durability: Durability, schema: Option<&str>) -> Result<Pool, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|error| StoreError::Address { reason: error.to_string() })?;
    let mut settings = vec![
        ("statement_timeout", POSTGRES_STATEMENT_TIMEOUT),
        ("idle_in_transaction_session_timeout", POSTGRES_IDLE_IN_TRANSACTION_TIMEOUT),
    ];
    if durability == Durability::ProcessDeath {
        settings.push(("synchronous_commit", "off"));
    }
    let mut name = APPLICATION_NAME;
    if let Some(schema) = schema {
        settings.push(("search_path", schema));
        name = APPLICATION_NAME_RESTORE;
    }
    let options = options.application_name(name).options(settings).statement_cache_capacity(256);
    let pool = PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS_MAX).acquire_timeout(ACQUIRE_TIMEOUT);
    let no_names = Names::default();
    pool.connect_with(options).await.map(Pool::Postgres).map_err(|error| StoreError::from_sqlx(error, &no_names))
}

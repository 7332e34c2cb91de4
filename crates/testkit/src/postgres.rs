//! PostgreSQL for tests, started by the tests themselves from Debian's package.
//!
//! One cluster per user in `/tmp/seaway-postgres-UID`, reached through a Unix socket only, without fsync. The first test
//! that needs it starts it; it goes on running for the next one (`cargo run -p testkit --no-default-features --example
//! stop_postgres` stops it and removes its folder). Each test gets a database of its own, copied from a template that is
//! migrated once per state of `migrations/`. Databases of killed test processes are dropped by the next process.
//!
//! PostgreSQL refuses to run as root; then it runs as the user `postgres` by `setpriv`.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use store::Store;
use tokio::sync::OnceCell;

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(25);
const SETTINGS: &[&str] = &[
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=400",
    "shared_buffers=64MB",
    "autovacuum=off",
    "listen_addresses=",
    "unix_socket_permissions=0700",
];

static CLUSTER: OnceCell<PathBuf> = OnceCell::const_new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A database of a test; dropped with this value.
pub struct TestDatabase {
    name: String,
    url: String,
}

impl TestDatabase {
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = self.name.clone();
        // In a thread of its own: a test's runtime may be shutting down. A database that stays is dropped by a later process.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = connect("postgres").await?;
                drop_database(&mut connection, &name).await
            })
        });
        let _ = dropping.join();
    }
}

/// An empty database with the newest schema.
pub async fn migrated_database() -> Result<TestDatabase> {
    let template = template().await?;
    create(&format!("TEMPLATE {template}")).await
}

/// A database without any table.
pub async fn empty_database() -> Result<TestDatabase> {
    create("").await
}

/// Stops the cluster and removes its folder; for people who want their memory back.
pub async fn stop() -> Result<()> {
    let folder = folder()?;
    let data = folder.join("data");
    if data.exists() {
        run(postgres_program("pg_ctl")?.args(["stop", "-m", "fast", "-D"]).arg(&data)).ok();
        fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

async fn create(clause: &str) -> Result<TestDatabase> {
    let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut connection = connect("postgres").await?;
    let statement = format!("CREATE DATABASE {name} {clause}");
    connection.execute(AssertSqlSafe(statement)).await.context("create the test's database")?;
    Ok(TestDatabase { url: url(&name)?, name })
}

/// The name of the migrated template, made when it is missing.
async fn template() -> Result<String> {
    let mut digest = Sha256::new();
    for (number, _, source) in store::migrations::sources()? {
        digest.update(number.to_be_bytes());
        digest.update(store::migrations::translate(source, store::Dialect::Postgres).unwrap_or_default());
    }
    let name: String = digest.finalize().iter().take(8).fold("template_".to_owned(), |name, byte| format!("{name}{byte:02x}"));
    let mut connection = connect("postgres").await?;
    let exists = |name: &str| sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)").bind(name.to_owned());
    if exists(&name).fetch_one(&mut connection).await? {
        return Ok(name);
    }
    let _lock = lock().await?;
    if exists(&name).fetch_one(&mut connection).await? {
        return Ok(name);
    }
    // Migrated under another name first: a killed process must not leave a half-made template.
    let draft = format!("{name}_draft");
    drop_database(&mut connection, &draft).await?;
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {draft}"))).await?;
    let store = Store::open(&url(&draft)?).await?;
    let migrated = store.migrate().await;
    store.close().await;
    migrated.context("migrate the template")?;
    connection.execute(AssertSqlSafe(format!("ALTER DATABASE {draft} RENAME TO {name}"))).await?;
    Ok(name)
}

async fn drop_database(connection: &mut PgConnection, name: &str) -> Result<()> {
    connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))).await?;
    Ok(())
}

async fn connect(database: &str) -> Result<PgConnection> {
    CLUSTER.get_or_try_init(start).await?;
    connect_to(&folder()?, database).await
}

async fn connect_to(folder: &Path, database: &str) -> Result<PgConnection> {
    let options = PgConnectOptions::from_str(&url_in(folder, database))?.disable_statement_logging();
    PgConnection::connect_with(&options).await.context("connect to the tests' PostgreSQL")
}

fn url(database: &str) -> Result<String> {
    Ok(url_in(&folder()?, database))
}

fn url_in(folder: &Path, database: &str) -> String {
    format!("postgres://seaway@localhost/{database}?host={}", folder.join("socket").display())
}

fn folder() -> Result<PathBuf> {
    Ok(PathBuf::from(format!("/tmp/seaway-postgres-{}", own_uid()?)))
}

fn own_uid() -> Result<u32> {
    Ok(fs::metadata("/proc/self").context("read /proc/self")?.uid())
}

/// Held while the cluster or a template is made; released when dropped or when the process dies.
async fn lock() -> Result<File> {
    let path = folder()?.join("lock");
    let file = File::options().create(true).append(true).open(&path).with_context(|| path.display().to_string())?;
    tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await?.context("lock the tests' PostgreSQL")
}

/// Makes sure that the cluster runs, and cleans up after killed test processes.
async fn start() -> Result<PathBuf> {
    let folder = folder()?;
    fs::create_dir_all(&folder)?;
    ensure!(fs::metadata(&folder)?.uid() == own_uid()?, "{} belongs to another user: remove it", folder.display());
    let lock = lock().await?;
    if connect_to(&folder, "postgres").await.is_err() {
        start_locked(&folder).await?;
    }
    drop(lock);
    let mut connection = connect_to(&folder, "postgres").await?;
    let names: Vec<String> =
        sqlx::query_scalar("SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%'").fetch_all(&mut connection).await?;
    for name in names {
        let pid = name.split('_').nth(1).unwrap_or_default();
        if !Path::new("/proc").join(pid).exists() {
            // Another test process may be dropping it at the same time.
            drop_database(&mut connection, &name).await.ok();
        }
    }
    Ok(folder)
}

async fn start_locked(folder: &Path) -> Result<()> {
    ensure!(
        Path::new(PROGRAMS).join("initdb").exists(),
        "PostgreSQL is missing: install Debian's package postgresql-15 (apt-get install postgresql-15)"
    );
    let (data, socket) = (folder.join("data"), folder.join("socket"));
    for path in [folder, &socket] {
        fs::create_dir_all(path)?;
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711))?;
    give_to_server(&socket)?;
    if !data.join("PG_VERSION").exists() || !folder.join("initialised").exists() {
        // A killed initdb leaves a folder that is of no use.
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        fs::create_dir(&data)?;
        give_to_server(&data)?;
        let mut initdb = postgres_program("initdb")?;
        run(initdb.args(["-U", "seaway", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8", "-D"]).arg(&data))?;
        File::create(folder.join("initialised"))?;
    }
    let deadline = tokio::time::Instant::now() + START_TIMEOUT;
    loop {
        forget_dead_server(&data);
        let ended = match serve(folder, &data, &socket, deadline).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        // Children of a killed server may hold its shared memory for a moment.
        if tokio::time::Instant::now() > deadline {
            return Err(ended);
        }
        tokio::time::sleep(POLL_INTERVAL * 10).await;
    }
}

/// A killed server that its parent has not waited for yet still has a process id; PostgreSQL takes it for alive.
fn forget_dead_server(data: &Path) {
    let file = data.join("postmaster.pid");
    let pid = fs::read_to_string(&file).unwrap_or_default().lines().next().unwrap_or_default().to_owned();
    let state = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    if state.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('Z')) {
        fs::remove_file(file).ok();
    }
}

/// Starts the server and waits until it answers; an error when it ends before that.
async fn serve(folder: &Path, data: &Path, socket: &Path, deadline: tokio::time::Instant) -> Result<()> {
    let log = File::options().create(true).append(true).open(folder.join("log"))?;
    let mut server = postgres_program("postgres")?;
    server.arg("-D").arg(data).arg("-k").arg(socket).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    for setting in SETTINGS {
        server.args(["-c", setting]);
    }
    // A group of its own: Ctrl-C on the tests must not stop it in the middle of other tests.
    let mut child = server.process_group(0).spawn().context("start postgres")?;
    loop {
        match connect_to(folder, "postgres").await {
            Ok(_) => return Ok(()),
            Err(error) if tokio::time::Instant::now() > deadline => return Err(error),
            Err(_) => {}
        }
        if let Some(status) = child.try_wait()? {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(10).collect();
            bail!("postgres ended at once ({status}): {}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[expect(clippy::disallowed_methods, reason = "tests start Debian's PostgreSQL; no user data is near")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}

/// A program of PostgreSQL, run as the user `postgres` when the tests run as root.
fn postgres_program(name: &str) -> Result<Command> {
    let program = Path::new(PROGRAMS).join(name);
    let mut command = if own_uid()? == 0 {
        let mut setpriv = command("setpriv");
        setpriv.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
        setpriv
    } else {
        command(program)
    };
    command.current_dir("/tmp").env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    Ok(command)
}

/// Makes the folder private to the user that the server runs as.
fn give_to_server(path: &Path) -> Result<()> {
    if own_uid()? == 0 {
        let uid = run(command("id").args(["-u", "postgres"]))?.parse()?;
        std::os::unix::fs::chown(path, Some(uid), None)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    Ok(())
}

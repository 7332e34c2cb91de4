//! Bringing an instance back.
//!
//! Order: (1) nobody serves from the data folder or the database; (2) the manifest's seal; (3) everything is unpacked and
//! loaded beside what is there; (4) it opens; (5) the swap is decided and carried out. Until (5) nothing of the old data is
//! touched; from (5) on the restore is carried through, however often it is interrupted.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use domain::{Clock, Entropy, Secret};
use rustix::fs::{FlockOperation, flock};
use store::{Store, portable};
use vault::{MasterKey, MasterRing, open_with_passphrase};
use zeroize::Zeroizing;

use super::archive;
use super::error::{RecoveryError, Result, file};
use super::files::{DATA, DATABASE, KEPT};
use super::manifest::Manifest;
use super::prove::{Proof, prove};
use super::swap::{self, Swap};

/// The lock of `seaway serve`.
const LOCK: &str = "serve.lock";

/// Where the database goes.
#[derive(Debug, Clone)]
pub enum Target {
    /// A file directly in the data folder.
    Sqlite { path: PathBuf },
    /// Through a schema of its own; the tables from before are kept in another.
    Postgres { url: Secret<String> },
}

pub struct RestoreOptions<'a> {
    pub from: &'a Path,
    pub data_dir: &'a Path,
    pub target: Target,
    /// Keys to try: of a key file, of the settings, of the data folder.
    pub keys: Vec<MasterKey>,
    /// Opens the key inside the backup.
    pub passphrase: Option<&'a Secret<String>>,
    /// Where the key is to be, relative to the data folder (`keys/master.key`); `None` when it comes from the settings.
    pub key_file: Option<&'a Path>,
    /// An instance that is there is moved aside.
    pub replace: bool,
    /// Everything but the swap.
    pub check_only: bool,
    /// Called by the names of the steps; an error ends the run there. `&|_| Ok(())` outside of tests.
    pub cuts: &'a (dyn Fn(&'static str) -> Result<()> + Sync),
}

/// What was restored.
#[derive(Debug, Clone)]
pub struct RestoreReport {
    pub manifest: Manifest,
    pub proof: Proof,
    /// Where the data from before is; `None` when there was none or it was only a check.
    pub aside: Option<PathBuf>,
    /// PostgreSQL: the schema that holds the tables from before.
    pub aside_schema: Option<String>,
}

/// Restores a backup, or checks that it could be.
///
/// # Errors
/// [`RecoveryError`]; whatever it is, the data from before is what serves.
pub async fn restore(clock: &dyn Clock, entropy: &dyn Entropy, options: &RestoreOptions<'_>) -> Result<RestoreReport> {
    swap::private(options.data_dir)?;
    let _lock = lock(options.data_dir)?;
    if let Some(done) = swap::finish_interrupted(options.data_dir)? {
        tracing::warn!(aside = %done.aside.display(), "a restore that was interrupted has been carried through first");
    }
    let head = archive::read_head(options.from)?;
    let inside = match (options.passphrase, &head.key) {
        (Some(passphrase), Some(sealed)) => keys_inside(passphrase, sealed)?,
        (Some(_), None) => return Err(RecoveryError::NoKeyInside),
        (None, _) => Vec::new(),
    };
    let (manifest, masters) = open_manifest(&head, inside.into_iter().chain(options.keys.iter().cloned()).collect())?;
    is_free(options).await?;

    // Two restores in one second must not share the place where the data from before is kept.
    let mut tag = [0u8; 3];
    entropy.fill(&mut tag);
    let time = format!("{}_{}", clock.now().format("%Y%m%dt%H%M%S"), super::manifest::hex(&tag));
    let staged = format!(".restore-{time}");
    let staging = options.data_dir.join(&staged);
    swap::private(&staging)?;
    let schema = format!("seaway_restore_{time}");
    let result = async {
        archive::unpack(options.from, &manifest.files, &staging)?;
        (options.cuts)("unpacked")?;
        let loaded = load(options, &manifest, &masters, &staging, &schema).await?;
        (options.cuts)("proven")?;
        Ok::<_, RecoveryError>(loaded)
    }
    .await;
    let undo = async || {
        let _left = std::fs::remove_dir_all(&staging);
        if let Target::Postgres { url } = &options.target {
            let _left = portable::drop_schema(url.reveal(), &schema).await;
        }
    };
    let (proof, needed) = match result {
        Ok(loaded) => loaded,
        Err(error) => {
            undo().await;
            return Err(error);
        }
    };
    if options.check_only {
        undo().await;
        return Ok(RestoreReport { manifest, proof, aside: None, aside_schema: None });
    }
    let swap = prepare(options, &masters, &needed, &staging, staged, &time, entropy)?;
    let mut aside_schema = None;
    if let Target::Postgres { url } = &options.target {
        // The tables first: until they are in place the files of before serve on.
        let name = format!("before_restore_{time}");
        if let Err(error) = portable::swap_schemas(url.reveal(), &schema, &name).await {
            undo().await;
            return Err(error.into());
        }
        (options.cuts)("tables swapped")?;
        aside_schema = Some(name);
    }
    swap.decide(options.data_dir)?;
    (options.cuts)("decided")?;
    let done = swap::carry_out(options.data_dir, &|| (options.cuts)("moved"))?;
    Ok(RestoreReport { manifest, proof, aside: done.map(|done| done.aside), aside_schema })
}

/// The manifest, once a key at hand has proven that it is whole. Before that only its version and its key's name are looked at.
fn open_manifest(head: &archive::Head, keys: Vec<MasterKey>) -> Result<(Manifest, MasterRing)> {
    let manifest = Manifest::parse(&head.manifest)?;
    let Some(key) = keys.iter().find(|key| key.id().to_string() == manifest.master_key).cloned() else {
        let names: Vec<String> = keys.iter().map(|key| key.id().to_string()).collect();
        let have = if names.is_empty() { "no key was given".to_owned() } else { format!("only {} is here", names.join(", ")) };
        return Err(RecoveryError::WrongKey { needed: manifest.master_key, have });
    };
    Manifest::verify(&key, &head.manifest, &head.mac)?;
    let others = keys.into_iter().filter(|other| other.id() != key.id()).collect();
    Ok((manifest, MasterRing::new(key, others)))
}

fn keys_inside(passphrase: &Secret<String>, sealed: &[u8]) -> Result<Vec<MasterKey>> {
    let opened = open_with_passphrase(passphrase, sealed).map_err(|_| RecoveryError::WrongPassphrase)?;
    let text = Zeroizing::new(String::from_utf8(opened.reveal().clone()).map_err(|_| RecoveryError::WrongPassphrase)?);
    text.lines().map(|line| MasterKey::from_text(line).map_err(RecoveryError::from)).collect()
}

/// The database lists a connection for a moment after its process has ended.
const GONE_WAIT: std::time::Duration = std::time::Duration::from_secs(3);
const GONE_STEP: std::time::Duration = std::time::Duration::from_millis(100);

async fn nobody_serves(url: &str) -> Result<bool> {
    let until = tokio::time::Instant::now() + GONE_WAIT;
    while portable::serving_processes(url).await?.0 > 0 {
        if tokio::time::Instant::now() >= until {
            return Ok(false);
        }
        tokio::time::sleep(GONE_STEP).await;
    }
    Ok(true)
}

async fn is_free(options: &RestoreOptions<'_>) -> Result<()> {
    match &options.target {
        Target::Sqlite { path } => {
            if path.parent() != Some(options.data_dir) {
                return Err(RecoveryError::Unsupported(format!(
                    "{} is not directly in the data folder {}; restore with the default database_url and move the file afterwards",
                    path.display(),
                    options.data_dir.display()
                )));
            }
            if !options.check_only && !options.replace && path.metadata().is_ok_and(|metadata| metadata.len() > 0) {
                return Err(RecoveryError::NotEmpty(options.data_dir.display().to_string()));
            }
        }
        Target::Postgres { url } => {
            if !nobody_serves(url.reveal()).await? {
                return Err(RecoveryError::Running("a Seaway is connected to this PostgreSQL database".to_owned()));
            }
            if !options.check_only && !options.replace && portable::tables_present(url.reveal()).await? > 0 {
                return Err(RecoveryError::NotEmpty("the PostgreSQL database".to_owned()));
            }
        }
    }
    Ok(())
}

/// Loads the rows into a new database, brings it up to date, and proves that it opens.
async fn load(
    options: &RestoreOptions<'_>,
    manifest: &Manifest,
    masters: &MasterRing,
    staging: &Path,
    schema: &str,
) -> Result<(Proof, BTreeSet<String>)> {
    let store = match &options.target {
        Target::Sqlite { path } => Store::open(&format!("sqlite:{}", staging.join(name_of(path)).display())).await?,
        Target::Postgres { url } => {
            portable::make_schema(url.reveal(), schema).await?;
            Store::open_in_schema(url.reveal(), schema).await?
        }
    };
    let loaded = async {
        store.migrate_to(manifest.schema).await?;
        portable::import(&store, &staging.join(DATABASE), &manifest.tables).await?;
        store.migrate().await?;
        let proof = prove(&store, masters).await?;
        let needed = store::data_keys::list_all(&mut store.read().await?).await?.into_iter().map(|row| row.master_key_id).collect();
        Ok((proof, needed))
    }
    .await;
    store.close().await;
    loaded
}

/// Arranges the staging folder as the data folder is to be. `needed`: ids of the master keys that data keys name.
fn prepare(
    options: &RestoreOptions<'_>,
    masters: &MasterRing,
    needed: &BTreeSet<String>,
    staging: &Path,
    staged: String,
    time: &str,
    entropy: &dyn Entropy,
) -> Result<Swap> {
    let unpacked = staging.join(DATA);
    let mut names: Vec<String> = KEPT.iter().map(|name| (*name).to_owned()).collect();
    for name in KEPT {
        let (from, to) = (unpacked.join(name), staging.join(name));
        if from.symlink_metadata().is_ok() {
            to.parent().map_or(Ok(()), swap::private)?;
            std::fs::rename(&from, &to).map_err(file(&from))?;
        }
    }
    if let Target::Sqlite { path } = &options.target {
        let name = name_of(path);
        // A log of before must not be played into the new database.
        names.extend([format!("{name}-wal"), format!("{name}-shm"), name]);
    }
    if let Some(relative) = options.key_file {
        let here = options.data_dir.join(relative);
        let same = MasterKey::from_file(&here).is_ok_and(|key| key.id() == masters.current().id());
        if !same {
            masters.current().write_new_file(&staging.join(relative), entropy)?;
            names.push(relative.to_string_lossy().into_owned());
        }
        for extra in ["key.next", "key.previous"] {
            // A rotation of before has nothing to do with this database.
            names.push(relative.with_extension(extra).to_string_lossy().into_owned());
        }
        for key in masters.keys().skip(1).filter(|key| needed.contains(&key.id().to_string())) {
            // Data keys of a rotation that was under way when the backup was made.
            let previous = staging.join(relative.with_extension("key.previous"));
            if previous.symlink_metadata().is_err() {
                key.write_new_file(&previous, entropy)?;
            }
        }
    }
    // The audit log of the backup is older than what the checkpoint has seen.
    names.push(super::checkpoint::FILE.to_owned());
    Ok(Swap::new(staging, staged, format!("before-restore-{time}"), names))
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn lock(data_dir: &Path) -> Result<std::fs::File> {
    let path = data_dir.join(LOCK);
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(file(&path))?;
    match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(opened),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(RecoveryError::Running(format!("a Seaway serves from {}", data_dir.display()))),
        Err(error) => Err(file(&path)(error.into())),
    }
}

//! Making a backup, while the instance runs.

use std::path::{Path, PathBuf};

use domain::{Clock, Entropy, Secret};
use store::{Dialect, Store, portable};
use vault::{MasterRing, seal_with_passphrase};
use zeroize::Zeroizing;

use super::archive::{self, Writer};
use super::error::{RecoveryError, Result, file};
use super::files::{self, CONFIGURATION, DATA, DATABASE, KEY};
use super::manifest::{FORMAT, FileEntry, Manifest};

pub struct BackupOptions<'a> {
    /// The archive; it must not exist.
    pub to: &'a Path,
    pub data_dir: &'a Path,
    /// The operator's configuration file, for the record.
    pub configuration: Option<&'a Path>,
    /// Puts the master key in, under this passphrase.
    pub passphrase: Option<&'a Secret<String>>,
}

/// What was written.
#[derive(Debug, Clone)]
pub struct BackupReport {
    pub path: PathBuf,
    pub size_bytes: u64,
    pub manifest: Manifest,
}

/// Writes a backup. Nothing is left at `to` when it fails.
///
/// # Errors
/// `Exists`, `NotProven` when the key at hand does not open the instance's secrets (a backup that cannot be restored is
/// none), a weak passphrase, the database's and the file system's.
pub async fn backup(
    store: &Store,
    masters: &MasterRing,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    options: &BackupOptions<'_>,
) -> Result<BackupReport> {
    if options.to.symlink_metadata().is_ok() {
        return Err(RecoveryError::Exists { path: options.to.to_owned() });
    }
    super::prove(store, masters).await?;
    let folder = options.to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Beside the archive: there is room for a copy of the database, or there is none for the archive either.
    let work = tempfile::Builder::new().prefix(".seaway-backup-").tempdir_in(folder).map_err(file(folder))?;
    let exported = portable::export(store, work.path()).await?;

    let mut sources: Vec<(FileEntry, PathBuf)> = Vec::new();
    if let Some(passphrase) = options.passphrase {
        let keys: Zeroizing<String> = Zeroizing::new(
            masters.keys().map(|key| Zeroizing::new(format!("{}\n", key.to_text().reveal()))).fold(String::new(), |mut text, line| {
                text.push_str(&line);
                text
            }),
        );
        let sealed = seal_with_passphrase(passphrase, &Secret::new(keys.as_bytes().to_vec()), entropy)?;
        let path = work.path().join(KEY);
        std::fs::write(&path, sealed).map_err(file(&path))?;
        sources.push((archive::entry(&path, KEY.to_owned())?, path));
    }
    for table in &exported.tables {
        let path = work.path().join(format!("{}.jsonl", table.name));
        sources.push((archive::entry(&path, format!("{DATABASE}/{}.jsonl", table.name))?, path));
    }
    for relative in files::kept(options.data_dir)? {
        let path = options.data_dir.join(&relative);
        match archive::entry(&path, format!("{DATA}/{}", relative.display())) {
            Ok(entry) => sources.push((entry, path)),
            // Deleted since it was listed: a mail that was sent, an upload that was built.
            Err(RecoveryError::File { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(path) = options.configuration {
        sources.push((archive::entry(path, CONFIGURATION.to_owned())?, path.to_owned()));
    }
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: clock.now(),
        database: word(store.dialect()).to_owned(),
        schema: exported.migrations.last().copied().unwrap_or(0),
        migrations: exported.migrations,
        master_key: masters.current().id().to_string(),
        holds_key: options.passphrase.is_some(),
        tables: exported.tables,
        files: sources.iter().map(|(entry, _)| entry.clone()).collect(),
    };
    let draft = work.path().join("archive");
    write(&draft, &manifest, masters, &sources)?;
    std::fs::hard_link(&draft, options.to).map_err(file(options.to))?;
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(file(folder))?;
    let size_bytes = options.to.metadata().map_err(file(options.to))?.len();
    Ok(BackupReport { path: options.to.to_owned(), size_bytes, manifest })
}

fn write(path: &Path, manifest: &Manifest, masters: &MasterRing, sources: &[(FileEntry, PathBuf)]) -> Result<()> {
    let time = u64::try_from(manifest.created_at.timestamp()).unwrap_or(0);
    let bytes = serde_json::to_vec_pretty(manifest).map_err(|error| RecoveryError::NotABackup(error.to_string()))?;
    let mut writer = Writer::create(path, time)?;
    writer.bytes(archive::MANIFEST, &bytes)?;
    writer.bytes(archive::MAC, Manifest::mac(masters.current(), &bytes).as_bytes())?;
    for (entry, source) in sources {
        writer.file(entry, source)?;
    }
    writer.finish()
}

/// The word for a kind of database.
fn word(dialect: Dialect) -> &'static str {
    dialect.choose("sqlite", "postgres")
}

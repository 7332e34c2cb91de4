//! `seaway backup` and `seaway restore`. Built by helper recovery.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use control::recovery::{self, BackupOptions, RestoreOptions, Target};
use domain::{Secret, SystemClock, SystemEntropy};
use vault::MasterKey;
use zeroize::Zeroizing;

use crate::configuration::Configuration;
use crate::data_dir::DataDir;
use crate::{master_key, say, store_open};

/// The settings file when none is named.
const CONFIGURATION: &str = "/etc/seaway/seaway.toml";
const KEY_FILE: &str = "keys/master.key";

pub struct Restoring<'a> {
    pub from: &'a Path,
    pub key_file: Option<&'a Path>,
    pub passphrase_file: Option<&'a Path>,
    pub check: bool,
    pub replace: bool,
}

/// # Errors
/// What keeps a backup from being whole; then there is none.
pub async fn backup(
    configuration: &Configuration,
    to: &Path,
    with_key: bool,
    passphrase_file: Option<&Path>,
    configuration_file: Option<PathBuf>,
    json: bool,
) -> Result<()> {
    let passphrase = match (with_key, passphrase_file) {
        (true, Some(path)) => Some(passphrase(path)?),
        (true, None) => bail!("--with-key needs --passphrase-file FILE: the key in the backup is encrypted with a passphrase"),
        (false, _) => None,
    };
    let data_dir = DataDir::open(&configuration.data_dir)?;
    let masters = master_key::read_existing(&configuration.vault)?;
    let store = store_open::open(&configuration.database).await?;
    let configuration_file = configuration_file.or_else(|| Some(PathBuf::from(CONFIGURATION))).filter(|path| path.is_file());
    let options =
        BackupOptions { to, data_dir: data_dir.path(), configuration: configuration_file.as_deref(), passphrase: passphrase.as_ref() };
    let report = recovery::backup(&store, &masters, &SystemClock, &SystemEntropy, &options).await?;
    store.close().await;
    let rows: u64 = report.manifest.tables.iter().map(|table| table.rows).sum();
    if json {
        say::line(serde_json::json!({
            "path": report.path, "size_bytes": report.size_bytes, "rows": rows, "files": report.manifest.files.len(),
            "master_key": report.manifest.master_key, "holds_key": report.manifest.holds_key
        }));
        return Ok(());
    }
    say::line(format!("{}: {} bytes, {rows} rows, {} files", report.path.display(), report.size_bytes, report.manifest.files.len()));
    if with_key {
        say::line("it holds the master key under your passphrase: whoever has both can read every secret");
    } else {
        say::line(format!(
            "it does not hold master key {}: a restore needs the key file too, keep it in another place",
            report.manifest.master_key
        ));
    }
    Ok(())
}

/// # Errors
/// What keeps the instance from being restored; then nothing was changed.
pub async fn restore(configuration: &Configuration, options: &Restoring<'_>, json: bool) -> Result<()> {
    let data_dir = DataDir::open(&configuration.data_dir)?;
    let passphrase = options.passphrase_file.map(passphrase).transpose()?;
    let mut keys = Vec::new();
    if let Some(path) = options.key_file {
        let text =
            Zeroizing::new(std::fs::read_to_string(path).with_context(|| format!("the key file {} cannot be read", path.display()))?);
        keys.push(MasterKey::from_text(&text).with_context(|| format!("{} does not hold a master key", path.display()))?);
    }
    // The key of this machine is the right one when an instance goes back in time.
    if let Ok(ring) = master_key::read_existing(&configuration.vault) {
        keys.extend(ring.keys().cloned());
    }
    let target = if configuration.database.is_sqlite() {
        let url = configuration.database.url.reveal();
        let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).unwrap_or(url);
        let path = Path::new(path);
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
        Target::Sqlite { path: folder.zip(path.file_name()).map_or_else(|| path.to_owned(), |(folder, name)| folder.join(name)) }
    } else {
        Target::Postgres { url: configuration.database.url.clone() }
    };
    let from_settings = configuration.vault.master_key.is_some();
    let report = recovery::restore(
        &SystemClock,
        &SystemEntropy,
        &RestoreOptions {
            from: options.from,
            data_dir: data_dir.path(),
            target,
            keys,
            passphrase: passphrase.as_ref(),
            key_file: (!from_settings).then_some(Path::new(KEY_FILE)),
            replace: options.replace,
            check_only: options.check,
            cuts: &|_| Ok(()),
        },
    )
    .await?;
    let proof = report.proof;
    if json {
        say::line(serde_json::json!({
            "restored": !options.check, "created_at": report.manifest.created_at, "tenants": proof.tenants, "values_opened": proof.values,
            "aside": report.aside, "aside_schema": report.aside_schema
        }));
        return Ok(());
    }
    say::line(format!(
        "the backup of {} opens: {} tenants, {} data keys and {} sealed values were tried",
        report.manifest.created_at.format("%Y-%m-%d %H:%M UTC"),
        proof.tenants,
        proof.data_keys,
        proof.values
    ));
    if options.check {
        say::line("nothing was changed (--check)");
        return Ok(());
    }
    if let Some(aside) = report.aside {
        say::line(format!("the files from before are in {}", aside.display()));
    }
    if let Some(schema) = report.aside_schema {
        say::line(format!("the tables from before are in the schema {schema}"));
    }
    say::line("restored; start it with: seaway serve");
    Ok(())
}

fn passphrase(path: &Path) -> Result<Secret<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("the passphrase file {} cannot be read", path.display()))?;
    Ok(Secret::new(text))
}

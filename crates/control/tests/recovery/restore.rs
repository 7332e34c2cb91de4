//! Backup, then restore somewhere else: what was sealed opens, or nothing changes.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use control::recovery::{BackupOptions, BackupReport, RecoveryError, RestoreOptions, Target, backup, finish_interrupted, restore};
use control::rotation::MasterKeyFiles;
use domain::{FixedClock, Secret, SystemEntropy};
use store::Store;
use store::audit::{self, Chain, Verdict};
use tempfile::TempDir;
use testkit::databases::on_both;
use testkit::postgres::{TestDatabase, empty_database};
use vault::{MasterKey, MasterRing};

use crate::instance::{fill, key_files, keys, open_all, sealed_count};

const PASSPHRASE: &str = "lantern over quiet water";

struct Made {
    folder: TempDir,
    report: BackupReport,
    key: MasterKey,
    clock: Arc<FixedClock>,
}

async fn made(store: &Store, with_key: bool) -> Made {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(FixedClock::default()));
    let data = folder.path().join("data");
    let files = key_files(&data);
    let ring = files.read().unwrap();
    fill(store, &keys(ring.clone(), &clock), &clock).await;
    for (name, text) in [
        ("uploads/a", "archive"),
        ("outbox/1.eml", "mail"),
        ("agent/services/s.json", "{}"),
        ("ingress/routes/r.json", "{}"),
        ("ingress/ingress.log", "no"),
    ] {
        fs::create_dir_all(data.join(name).parent().unwrap()).unwrap();
        fs::write(data.join(name), text).unwrap();
    }
    let passphrase = Secret::new(PASSPHRASE.to_owned());
    let to = folder.path().join("backup.tar.gz");
    let options = BackupOptions { to: &to, data_dir: &data, configuration: None, passphrase: with_key.then_some(&passphrase) };
    let report = backup(store, &ring, &*clock, &SystemEntropy, &options).await.unwrap();
    let again = backup(store, &ring, &*clock, &SystemEntropy, &options).await.unwrap_err();
    assert!(matches!(again, RecoveryError::Exists { .. }));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside the archive");
    Made { key: ring.current().clone(), folder, report, clock }
}

/// A machine to restore on.
struct Machine {
    folder: TempDir,
    database: Option<TestDatabase>,
}

impl Machine {
    async fn new(postgres: bool) -> Self {
        let database = if postgres { Some(empty_database().await.unwrap()) } else { None };
        Self { folder: tempfile::tempdir().unwrap(), database }
    }
    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
    fn url(&self) -> String {
        self.database
            .as_ref()
            .map_or_else(|| format!("sqlite:{}", self.data().join("seaway.db").display()), |database| database.url().to_owned())
    }
    fn target(&self) -> Target {
        match &self.database {
            Some(database) => Target::Postgres { url: Secret::new(database.url().to_owned()) },
            None => Target::Sqlite { path: self.data().join("seaway.db") },
        }
    }
    async fn restore(
        &self,
        from: &Path,
        clock: &FixedClock,
        keys: Vec<MasterKey>,
        passphrase: Option<&str>,
        replace: bool,
        cut: &Cut,
    ) -> Result<control::recovery::RestoreReport, RecoveryError> {
        let passphrase = passphrase.map(|text| Secret::new(text.to_owned()));
        let data = self.data();
        let options = RestoreOptions {
            from,
            data_dir: &data,
            target: self.target(),
            keys,
            passphrase: passphrase.as_ref(),
            key_file: Some(Path::new("keys/master.key")),
            replace,
            check_only: false,
            cuts: &|name| cut.at(name),
        };
        restore(clock, &SystemEntropy, &options).await
    }
    /// Everything opens with the key that lies in the data folder.
    async fn assert_whole(&self, clock: &Arc<FixedClock>) {
        let store = Store::open(&self.url()).await.unwrap();
        store.migrate().await.unwrap();
        let ring = MasterKeyFiles::new(self.data().join("keys/master.key")).read().unwrap();
        assert_eq!(open_all(&store, &keys(ring, clock)).await.0, sealed_count());
        let verdict = audit::verify(&mut store.read().await.unwrap(), Chain::Instance, None).await.unwrap();
        assert_eq!(verdict, Verdict::Intact { entries: 1 });
        store.close().await;
        assert_eq!(fs::read_to_string(self.data().join("uploads/a")).unwrap(), "archive");
        assert!(!self.data().join("ingress/ingress.log").exists());
    }
    fn is_untouched(&self) -> bool {
        fs::read_dir(self.data()).map_or(true, |entries| entries.map(|entry| entry.unwrap().file_name()).all(|name| name == "serve.lock"))
    }
}

/// Ends at the nth call; 0: never.
struct Cut(AtomicUsize);

impl Cut {
    fn never() -> Self {
        Self(AtomicUsize::new(0))
    }
    fn at(&self, name: &'static str) -> Result<(), RecoveryError> {
        if self.0.load(Ordering::SeqCst) > 0 && self.0.fetch_sub(1, Ordering::SeqCst) == 1 {
            return Err(RecoveryError::Interrupted(name));
        }
        Ok(())
    }
}

/// Files of an archive by name.
type Entries = Vec<(String, Vec<u8>)>;

#[tokio::test]
async fn restore_drill_from_each_database_into_each() {
    on_both(async |store| {
        let made = made(store, true).await;
        assert!(made.report.manifest.holds_key);
        for postgres in [false, true] {
            let machine = Machine::new(postgres).await;
            let report = machine.restore(&made.report.path, &made.clock, vec![], Some(PASSPHRASE), false, &Cut::never()).await.unwrap();
            // Two tenants and the instance; a value per tenant and sealed column.
            assert_eq!((report.proof.tenants, report.proof.data_keys, report.proof.values), (3, 3, 7));
            machine.assert_whole(&made.clock).await;
            // Not a second time over it, unless asked to; then what was there is kept.
            let error = machine.restore(&made.report.path, &made.clock, vec![], Some(PASSPHRASE), false, &Cut::never()).await.unwrap_err();
            assert!(matches!(error, RecoveryError::NotEmpty(_)), "{error}");
            machine.assert_whole(&made.clock).await;
            let report = machine.restore(&made.report.path, &made.clock, vec![made.key.clone()], None, true, &Cut::never()).await.unwrap();
            machine.assert_whole(&made.clock).await;
            assert!(report.aside.unwrap().join("uploads/a").exists());
            assert_eq!(report.aside_schema.is_some(), postgres);
        }
    })
    .await;
}

#[tokio::test]
async fn without_the_right_key_nothing_changes_and_the_error_says_what_to_give() {
    on_both(async |store| {
        let with_key = made(store, true).await;
        let machine = Machine::new(false).await;
        let from = with_key.report.path.as_path();
        let other = MasterKey::generate(&SystemEntropy);
        let error = machine.restore(from, &with_key.clock, vec![other], None, false, &Cut::never()).await.unwrap_err();
        assert!(matches!(error, RecoveryError::WrongKey { .. }) && error.to_string().contains("--key-file"), "{error}");
        let error = machine.restore(from, &with_key.clock, vec![], None, false, &Cut::never()).await.unwrap_err();
        assert!(error.to_string().contains("no key was given"), "{error}");
        let error = machine.restore(from, &with_key.clock, vec![], Some("another passphrase!"), false, &Cut::never()).await.unwrap_err();
        assert!(matches!(error, RecoveryError::WrongPassphrase), "{error}");
        assert!(machine.is_untouched());

        // In plain, nothing that was sealed is in the archive, nor is the key.
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(fs::File::open(from).unwrap()).read_to_end(&mut bytes).unwrap();
        let key = with_key.key.to_text();
        for secret in ["canary-", key.reveal().as_str()] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_archive_that_was_changed_cut_or_made_by_a_newer_version_is_refused() {
    on_both(async |store| {
        let made = made(store, false).await;
        let machine = Machine::new(false).await;
        let whole = unpacked(&made.report.path);
        let mut cases: Vec<(&str, Entries)> = Vec::new();
        let changed = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
            let mut entries = whole.clone();
            change(&mut entries.iter_mut().find(|entry| entry.0 == name).unwrap().1);
            entries
        };
        cases.push((
            "manifest",
            changed("manifest.json", &|bytes| {
                *bytes = String::from_utf8(bytes.clone())
                    .unwrap()
                    .replacen("\"rows\": 1,", "\"rows\": 2,", 1)
                    .replacen("\"rows\": 1\n", "\"rows\": 2\n", 1)
                    .into_bytes()
            }),
        ));
        cases.push(("mac", changed("manifest.mac", &|bytes| bytes[0] = if bytes[0] == b'0' { b'1' } else { b'0' })));
        cases.push(("row", changed("database/users.jsonl", &|bytes| bytes.extend_from_slice(b"\n"))));
        cases.push(("upload", changed("data/uploads/a", &|bytes| bytes[0] ^= 1)));
        cases.push(("missing", whole.iter().filter(|entry| entry.0 != "data/uploads/a").cloned().collect()));
        cases.push(("surplus", whole.iter().cloned().chain([("data/uploads/b".to_owned(), vec![1])]).collect()));
        for (name, entries) in cases {
            let path = made.folder.path().join(format!("{name}.tar.gz"));
            packed(&path, &entries);
            let error = machine.restore(&path, &made.clock, vec![made.key.clone()], None, false, &Cut::never()).await.unwrap_err();
            assert!(matches!(error, RecoveryError::Damaged(_)), "{name}: {error}");
            assert!(machine.is_untouched(), "{name}");
        }
        let newer = changed("manifest.json", &|bytes| {
            let schema = format!("\"schema\": {}", made.report.manifest.schema);
            *bytes = String::from_utf8(bytes.clone()).unwrap().replacen(&schema, "\"schema\": 9999", 1).into_bytes();
        });
        let path = made.folder.path().join("newer.tar.gz");
        packed(&path, &newer);
        let error = machine.restore(&path, &made.clock, vec![made.key.clone()], None, false, &Cut::never()).await.unwrap_err();
        assert!(matches!(error, RecoveryError::Newer { .. }), "{error}");
        // Cut off in the middle, and nothing of the kind at all.
        let bytes = fs::read(&made.report.path).unwrap();
        for (name, bytes) in [("cut", &bytes[..bytes.len() / 2]), ("junk", b"hello".as_slice())] {
            let path = made.folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            machine.restore(&path, &made.clock, vec![made.key.clone()], None, false, &Cut::never()).await.unwrap_err();
            assert!(machine.is_untouched(), "{name}");
        }
        // The machine is none the worse for all that.
        machine.restore(&made.report.path, &made.clock, vec![made.key.clone()], None, false, &Cut::never()).await.unwrap();
        machine.assert_whole(&made.clock).await;
    })
    .await;
}

#[tokio::test]
async fn a_restore_that_ends_anywhere_leaves_the_old_instance_or_the_new_one() {
    on_both(async |store| {
        let made = made(store, false).await;
        let keys = || vec![made.key.clone()];
        for postgres in [false, true] {
            for cut in 1.. {
                let machine = Machine::new(postgres).await;
                let end = machine.restore(&made.report.path, &made.clock, keys(), None, false, &Cut(AtomicUsize::new(cut))).await;
                let Err(RecoveryError::Interrupted(step)) = end else {
                    end.unwrap();
                    assert!(cut > 5, "the steps were cut one by one");
                    break;
                };
                // What the next start does; then, if it was not decided yet, the next restore.
                if finish_interrupted(&machine.data()).unwrap().is_none() {
                    assert!(matches!(step, "unpacked" | "proven" | "tables swapped"), "{step}");
                    machine.restore(&made.report.path, &made.clock, keys(), None, true, &Cut::never()).await.unwrap();
                }
                machine.assert_whole(&made.clock).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_running_instance_is_refused() {
    on_both(async |store| {
        let made = made(store, false).await;
        let machine = Machine::new(false).await;
        fs::create_dir_all(machine.data()).unwrap();
        let lock = fs::File::create(machine.data().join("serve.lock")).unwrap();
        lock.lock().unwrap();
        let error = machine.restore(&made.report.path, &made.clock, vec![made.key.clone()], None, true, &Cut::never()).await.unwrap_err();
        assert!(matches!(error, RecoveryError::Running(_)), "{error}");
        drop(lock);

        let machine = Machine::new(true).await;
        let serving = Store::open(&machine.url()).await.unwrap();
        let error = machine.restore(&made.report.path, &made.clock, vec![made.key.clone()], None, true, &Cut::never()).await.unwrap_err();
        assert!(matches!(error, RecoveryError::Running(_)), "{error}");
        serving.close().await;
    })
    .await;
}

#[tokio::test]
async fn an_instance_whose_secrets_do_not_open_is_not_backed_up() {
    on_both(async |store| {
        let made = made(store, false).await;
        let to = made.folder.path().join("other.tar.gz");
        let wrong = MasterRing::new(MasterKey::generate(&SystemEntropy), vec![]);
        let data = made.folder.path().join("data");
        let options = BackupOptions { to: &to, data_dir: &data, configuration: None, passphrase: None };
        let error = backup(store, &wrong, &*made.clock, &SystemEntropy, &options).await.unwrap_err();
        assert!(matches!(error, RecoveryError::NotProven(_)) && !to.exists(), "{error}");
    })
    .await;
}

fn unpacked(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(path).unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
    });
    entries.collect()
}

fn packed(path: &Path, entries: &[(String, Vec<u8>)]) {
    let gzip = flate2::write::GzEncoder::new(fs::File::create(path).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len().try_into().unwrap());
        header.set_mode(0o600);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
}

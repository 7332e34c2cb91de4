//! The master key's file: mode 0600 in a folder of mode 0700, owned by the user Seaway runs as, never a symbolic link.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Entropy;
use zeroize::Zeroizing;

use crate::{MasterKey, VaultError, aead};

const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// Everything but the owner's bits.
const OTHERS: u32 = 0o077;
const FILE_SIZE_BYTES_MAX: u64 = 1024;

/// Whether the database already holds something sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ciphertext {
    None,
    Exists,
}

/// The master key at start-up.
#[derive(Debug)]
pub struct LoadedMasterKey {
    pub key: MasterKey,
    /// Set if the key was made just now: print it for the operator.
    pub warning: Option<String>,
}

/// Reads the master key of an instance, or makes one if there is neither a key file nor ciphertext.
///
/// # Errors
/// [`VaultError::MasterKeyMissing`] if the file is missing while sealed data exists; [`VaultError::KeyFile`] for a file or
/// folder that others can read, a symbolic link, or another failure; [`VaultError::InvalidMasterKey`].
pub fn load_or_generate(path: &Path, ciphertext: Ciphertext, entropy: &dyn Entropy) -> Result<LoadedMasterKey, VaultError> {
    match (path.symlink_metadata(), ciphertext) {
        (Err(error), Ciphertext::Exists) if error.kind() == ErrorKind::NotFound => {
            Err(VaultError::MasterKeyMissing { path: path.to_owned() })
        }
        (Err(error), Ciphertext::None) if error.kind() == ErrorKind::NotFound => {
            let key = MasterKey::generate(entropy);
            key.write_new_file(path, entropy)?;
            Ok(LoadedMasterKey { warning: Some(warning(path, &key)), key })
        }
        _ => Ok(LoadedMasterKey { key: MasterKey::from_file(path)?, warning: None }),
    }
}

impl MasterKey {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`VaultError::KeyFile`] or [`VaultError::InvalidMasterKey`]; the message says what to change.
    pub fn from_file(path: &Path) -> Result<Self, VaultError> {
        let fail = |reason: String| VaultError::KeyFile { path: path.to_owned(), reason };
        check_folder(path).map_err(fail)?;
        let nofollow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
        let opened = OpenOptions::new().read(true).custom_flags(nofollow).open(path);
        let mut file = opened.map_err(|error| match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => fail("it is a symbolic link".to_owned()),
            _ => fail(error.to_string()),
        })?;
        // The opened file is checked, not its name: nobody can swap it in between.
        let metadata = file.metadata().map_err(|error| fail(error.to_string()))?;
        check_file(&metadata).map_err(fail)?;
        let mut text = Zeroizing::new(String::new());
        Read::by_ref(&mut file)
            .take(FILE_SIZE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|_| VaultError::InvalidMasterKey("the file does not hold text"))?;
        Self::from_text(&text)
    }

    /// Writes the key into a new file, which appears whole or not at all; an existing file is never replaced. A missing
    /// folder is made.
    ///
    /// # Errors
    /// [`VaultError::KeyFile`].
    pub fn write_new_file(&self, path: &Path, entropy: &dyn Entropy) -> Result<(), VaultError> {
        let fail = |reason: String| VaultError::KeyFile { path: path.to_owned(), reason };
        let folder = folder_of(path);
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(&folder)
            .map_err(|error| fail(format!("its folder cannot be made: {error}")))?;
        check_folder(path).map_err(fail)?;
        let temporary = folder.join(format!(".new-{}", URL_SAFE_NO_PAD.encode(aead::random::<9>(entropy))));
        let written = write_whole(&temporary, self.to_text().reveal()).and_then(|()| {
            // A link, not a rename: it fails if the name is taken.
            std::fs::hard_link(&temporary, path)
        });
        let removed = std::fs::remove_file(&temporary);
        written.and(removed).and_then(|()| File::open(&folder)?.sync_all()).map_err(|error| fail(error.to_string()))
    }
}

fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn check_folder(path: &Path) -> Result<(), String> {
    let folder = folder_of(path);
    let metadata = folder.metadata().map_err(|error| format!("its folder cannot be read: {error}"))?;
    if metadata.mode() & OTHERS != 0 {
        return Err(format!("others can enter its folder (mode {:o}); run: chmod 700 {}", metadata.mode() & 0o777, folder.display()));
    }
    check_owner(&metadata, "its folder")
}

fn check_file(metadata: &Metadata) -> Result<(), String> {
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if metadata.mode() & OTHERS != 0 {
        return Err(format!("others can read it (mode {:o}); run: chmod 600 on it", metadata.mode() & 0o777));
    }
    if metadata.len() > FILE_SIZE_BYTES_MAX {
        return Err("it is too long for a key".to_owned());
    }
    check_owner(metadata, "it")
}

fn check_owner(metadata: &Metadata, what: &str) -> Result<(), String> {
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() == own || metadata.uid() == 0 {
        return Ok(());
    }
    Err(format!("{what} belongs to user {}, Seaway runs as user {own}", metadata.uid()))
}

fn warning(path: &Path, key: &MasterKey) -> String {
    format!(
        "A new master key was made at {} (id {}). Every secret of this instance is sealed with it: copy the file to a safe \
         place away from this machine and from the database backups. Without it nobody, Seaway included, can read them again.",
        path.display(),
        key.id()
    )
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use domain::SeededEntropy;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn the_first_run_makes_a_private_file_and_a_warning_the_second_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/master.key");
        let entropy = SeededEntropy::new(1);
        let first = load_or_generate(&path, Ciphertext::None, &entropy).unwrap();
        let warning = first.warning.unwrap();
        assert!(warning.contains("copy the file") && warning.contains(path.to_str().unwrap()));
        assert!(!warning.contains(first.key.to_text().reveal().as_str()));
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");

        let second = load_or_generate(&path, Ciphertext::Exists, &entropy).unwrap();
        assert_eq!(second.key.id(), first.key.id());
        assert!(second.warning.is_none());
    }

    #[test]
    fn no_key_is_made_while_ciphertext_exists() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let error = load_or_generate(&path, Ciphertext::Exists, &SeededEntropy::new(1)).unwrap_err();
        assert!(matches!(error, VaultError::MasterKeyMissing { .. }), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn an_existing_file_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/master.key");
        let entropy = SeededEntropy::new(1);
        MasterKey::generate(&entropy).write_new_file(&path, &entropy).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(MasterKey::generate(&entropy).write_new_file(&path, &entropy).is_err());
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn open_modes_links_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let path = keys.join("master.key");
        let entropy = SeededEntropy::new(1);
        MasterKey::generate(&entropy).write_new_file(&path, &entropy).unwrap();
        let reason = |path: &Path| match load_or_generate(path, Ciphertext::Exists, &entropy).unwrap_err() {
            VaultError::KeyFile { reason, .. } => reason,
            other => panic!("{other}"),
        };

        for bad in [0o640, 0o604, 0o666, 0o610] {
            fs::set_permissions(&path, Permissions::from_mode(bad)).unwrap();
            assert!(reason(&path).contains("others can read it"), "{bad:o}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        for bad in [0o750, 0o701, 0o755] {
            fs::set_permissions(&keys, Permissions::from_mode(bad)).unwrap();
            assert!(reason(&path).contains("chmod 700"), "{bad:o}");
        }
        fs::set_permissions(&keys, Permissions::from_mode(0o700)).unwrap();

        let link = keys.join("link.key");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(reason(&link).contains("symbolic link"));
        let dangling = keys.join("dangling.key");
        std::os::unix::fs::symlink(keys.join("nowhere"), &dangling).unwrap();
        assert!(reason(&dangling).contains("symbolic link"), "a dangling link is not a missing file");
        assert!(reason(&keys.join("..").join("keys")).len() > 3, "a folder is no key file");

        fs::write(&path, "").unwrap();
        assert!(matches!(MasterKey::from_file(&path), Err(VaultError::InvalidMasterKey(_))));
        fs::write(&path, vec![b'A'; 4096]).unwrap();
        assert!(reason(&path).contains("too long"));
    }
}

//! What can go wrong, and what to do then.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error("{path} exists; a backup never overwrites a file, choose another name")]
    Exists { path: PathBuf },
    #[error("{path}: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error("this is not a backup of Seaway, or it is cut off: {0}")]
    NotABackup(String),
    #[error("the backup was changed or damaged: {0}; nothing was restored, take another copy of it")]
    Damaged(String),
    #[error("this backup was made by a newer Seaway ({backup}, this is {program}); install that version, then restore")]
    Newer { backup: String, program: String },
    #[error(
        "this backup needs master key {needed}, but {have}. Give the key file that was kept with it (--key-file), or the \
         passphrase if the backup holds its key; nothing was changed"
    )]
    WrongKey { needed: String, have: String },
    #[error("the passphrase is wrong, or the key in the backup was changed; nothing was changed")]
    WrongPassphrase,
    #[error("this backup does not hold its master key: give the key file that was kept with it (--key-file)")]
    NoKeyInside,
    #[error("{0}; stop it first, nothing was changed")]
    Running(String),
    #[error("{0} holds an instance already; its data is moved aside, not deleted, when you ask for it (--replace)")]
    NotEmpty(String),
    #[error("the restored database does not open with this key: {0}; nothing was changed")]
    NotProven(String),
    #[error("{0}")]
    Unsupported(String),
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error(transparent)]
    Vault(#[from] vault::VaultError),
    /// Where a test ends the run.
    #[error("interrupted: {0}")]
    Interrupted(&'static str),
}

pub type Result<T> = std::result::Result<T, RecoveryError>;

pub(super) fn file<'a>(path: &'a std::path::Path) -> impl Fn(std::io::Error) -> RecoveryError + 'a {
    move |error| RecoveryError::File { path: path.to_owned(), error }
}

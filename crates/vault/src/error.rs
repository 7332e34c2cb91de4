//! What can go wrong with keys and sealed values. No message holds key material, plaintext or ciphertext.

use std::path::PathBuf;

use uuid::Uuid;

use crate::MasterKeyId;

/// Why the vault refuses.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The stored secrets were sealed under a master key that is not here: the caller goes into the *sealed state*.
    #[error(
        "the secrets of this instance are sealed with master key {needed}, but this process was given {have}; put the \
         right key file back (or name it as a previous key) and start again; no new key is made while sealed data exists"
    )]
    WrongMasterKey { needed: MasterKeyId, have: String },
    /// There is no master key, but sealed data.
    #[error(
        "there is no master key at {path}, but the database holds sealed secrets; restore the key file from your backup; \
         no new key is made, because it could not open them"
    )]
    MasterKeyMissing { path: PathBuf },
    /// The key file, or its folder, is not safe or not readable.
    #[error("the master key file {path} cannot be used: {reason}")]
    KeyFile { path: PathBuf, reason: String },
    /// A text or file content that is not a master key, or too weak to be one.
    #[error("this is not a usable master key: {0}")]
    InvalidMasterKey(&'static str),
    /// Stored bytes that do not open: damaged, changed, moved, or under a key that is gone. All tampering ends here.
    #[error("a stored secret cannot be read: {0}")]
    Unreadable(#[from] Unreadable),
    /// The data keys of an organization are not in the key ring: load them, then try again.
    #[error("the data keys of organization {tenant} are not loaded")]
    NotLoaded { tenant: Uuid },
    /// A step of a rotation that does not fit the state of the ring.
    #[error("the data key cannot be rotated: {0}")]
    Rotation(&'static str),
    /// The data key has sealed as many values as it may; a new version is needed first.
    #[error("data key version {version} of organization {tenant} is used up; rotate it")]
    UsedUp { tenant: Uuid, version: u32 },
    /// The value is longer than the vault takes.
    #[error("the value has {size_bytes} bytes; at most {size_bytes_max} can be sealed")]
    TooLarge { size_bytes: usize, size_bytes_max: usize },
    /// The cipher refused to seal; with the sizes used here it cannot.
    #[error("the cipher refused to seal")]
    Cipher,
    /// The passphrase does not open the bytes, or they were changed.
    #[error("the passphrase is wrong, or what it protects was changed")]
    WrongPassphrase,
    /// Too short to protect a key against somebody who has the file.
    #[error("the passphrase needs at least {min} characters", min = crate::PASSPHRASE_CHARACTERS_MIN)]
    WeakPassphrase,
    /// The opened value is not UTF-8, though text was asked for.
    #[error("the sealed value is not text")]
    NotText,
}

/// What the vault could tell about bytes that do not open. For operators; a caller needs no difference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("the bytes are not an envelope of this version of Seaway")]
    NotAnEnvelope,
    #[error("its data key version {version} ({key}) is not in the key ring; it was retired or belongs to someone else")]
    UnknownKey { key: Uuid, version: u32 },
    #[error("it was changed, or moved from another place")]
    NotAuthentic,
}

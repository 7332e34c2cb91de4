//! Backup and restore of the instance itself, and checkpoints of the audit log.
//!
//! A backup is one `tar.gz`: `manifest.json`, `manifest.mac` (keyed by the master key), the master key under a passphrase if
//! asked for, the rows of every table as of one moment, and the files of the data folder that cannot be made again. A restore
//! unpacks beside what is there, checks every byte, opens values of every tenant, and only then takes the place of the old
//! data, which is moved aside and kept.
//!
//! It must never: unpack what the MAC does not cover; delete or change what is there before everything is proven; put a key
//! into a backup in plain. To back up one more file: a line in `files::KEPT`.

pub mod checkpoint;

mod archive;
mod backup;
mod error;
mod files;
mod manifest;
mod prove;
mod restore;
mod swap;

pub use backup::{BackupOptions, BackupReport, backup};
pub use error::RecoveryError;
pub use manifest::{FORMAT, FileEntry, Manifest};
pub use prove::{Proof, prove};
pub use restore::{RestoreOptions, RestoreReport, Target, restore};
pub use swap::{Interruption, finish_interrupted};

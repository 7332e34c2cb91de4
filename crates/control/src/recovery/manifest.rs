//! What is in a backup, and the proof that nobody changed it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use store::portable::ExportedTable;
use vault::MasterKey;

use super::error::{RecoveryError, Result};

/// Of the archive; a program reads its own and older ones.
pub const FORMAT: u32 = 1;
pub(super) const PURPOSE: &str = "backup manifest";
const SIGNER: &str = "backup";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// Of the program that made it.
    pub version: String,
    pub created_at: DateTime<Utc>,
    /// `sqlite` or `postgres`: where it comes from; it restores into either.
    pub database: String,
    /// Number of the newest migration, and all that were applied.
    pub schema: i64,
    pub migrations: Vec<i64>,
    /// The key that opens it.
    pub master_key: String,
    pub holds_key: bool,
    pub tables: Vec<ExportedTable>,
    pub files: Vec<FileEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    pub path: String,
    pub size_bytes: u64,
    pub sha256: String,
}

impl Manifest {
    pub(super) fn mac(key: &MasterKey, bytes: &[u8]) -> String {
        hex(&key.signer(SIGNER).sign(PURPOSE, bytes))
    }

    /// # Errors
    /// `Damaged` when the manifest is not the one that the key's owner made.
    pub(super) fn verify(key: &MasterKey, bytes: &[u8], mac: &str) -> Result<()> {
        let found = unhex(mac.trim()).unwrap_or_default();
        if key.signer(SIGNER).verify(PURPOSE, bytes, &found) {
            return Ok(());
        }
        Err(RecoveryError::Damaged("its list of contents does not carry the seal of its master key".to_owned()))
    }

    /// # Errors
    /// `Newer` for a backup that this program does not understand.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Header {
            format: u32,
            version: String,
            schema: i64,
        }
        let header: Header = serde_json::from_slice(bytes).map_err(|error| RecoveryError::NotABackup(error.to_string()))?;
        let newest = store::migrations::newest()?;
        if header.format > FORMAT || header.schema > newest {
            let backup = format!("version {}, schema {}", header.version, header.schema);
            return Err(RecoveryError::Newer { backup, program: format!("version {}, schema {newest}", env!("CARGO_PKG_VERSION")) });
        }
        serde_json::from_slice(bytes).map_err(|error| RecoveryError::NotABackup(error.to_string()))
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|place| u8::from_str_radix(text.get(place..place + 2)?, 16).ok()).collect()
}

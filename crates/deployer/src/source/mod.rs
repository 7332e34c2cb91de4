//! Gets one revision of a source onto the server: git, an archive, an image.
//!
//! It must never run code of a source, follow a link out of its folder, reach an address that [`crate::egress`] did not
//! check, or leave a file behind when it fails.
//!
//! To add a kind of source: a variant of `FetchSource`, a module here that ends in a [`Fetched`].

pub mod archive;
pub mod git;
pub mod image;
pub mod tree;

use std::path::{Path, PathBuf};

use domain::deployment::{Cause, Failure, Step};
use domain::service::BuildLimits;
use tokio_util::sync::CancellationToken;

use crate::egress::EgressPolicy;
use crate::output::Lines;
use crate::process::Runner;

/// What every source needs.
pub struct SourceContext<'a> {
    pub runner: &'a Runner,
    pub egress: &'a EgressPolicy,
    /// Folder in which a folder of its own is made for the job.
    pub work_base: &'a Path,
    /// The same on a memory-backed file system, for credentials.
    pub secret_base: &'a Path,
    pub limits: &'a BuildLimits,
    pub lines: Lines<'a>,
    pub cancel: &'a CancellationToken,
}

/// A source on disk; removed when dropped.
#[derive(Debug)]
pub struct Fetched {
    folder: tempfile::TempDir,
    pub revision: Revision,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Full commit id, or SHA-256 of an archive.
    pub id: String,
    pub subject: Option<String>,
    pub author: Option<String>,
    /// Author's date in ISO 8601.
    pub date: Option<String>,
}

impl Fetched {
    /// The root of the source; nothing of git is in it.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(TREE)
    }
}

/// Name of the source's folder inside the job's folder.
const TREE: &str = "tree";

fn job_folder(context: &SourceContext<'_>) -> Result<tempfile::TempDir, Failure> {
    std::fs::create_dir_all(context.work_base)
        .and_then(|()| tempfile::Builder::new().prefix("source-").tempdir_in(context.work_base))
        .map_err(|error| disk_failure(&error, "make a folder for the source"))
}

/// A failure of the server's own disk.
fn disk_failure(error: &std::io::Error, action: &str) -> Failure {
    if matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
        return disk_full();
    }
    Failure::new(
        Cause::Internal,
        Step::Fetch,
        format!("The server could not {action}: {error}."),
        "Try again; if it happens again, tell the operator.",
    )
}

fn disk_full() -> Failure {
    Failure::new(
        Cause::DiskFull,
        Step::Fetch,
        "The server's disk is full, so the source could not be written.",
        "Free space on the server (old images, build cache, logs), then deploy again.",
    )
}

fn source_failure(message: impl Into<String>, next_step: impl Into<String>) -> Failure {
    Failure::new(Cause::Source, Step::Fetch, message, next_step)
}

fn canceled() -> Failure {
    Failure::new(Cause::Clone, Step::Fetch, "The deployment was canceled while its source was fetched.", "Deploy again when you want it.")
}

fn size_failure(limits: &BuildLimits) -> Failure {
    source_failure(
        format!(
            "The source is larger than this service may use: at most {} MiB in {} files.",
            limits.source_bytes_max / (1024 * 1024),
            limits.source_files_max
        ),
        "Remove large files (build results, data, media) from the source, keep them in storage or Git LFS, or raise the limit.",
    )
}

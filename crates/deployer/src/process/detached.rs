//! Starts this very program once more, as a process that outlives its starter: the ingress.
//!
//! The new process leaves the session itself (`setsid`), because it is the only one who may; the caller watches it with a
//! [`Detached`], whose drop lets it run on.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::process::{ExitStatus, Stdio};

/// A started process.
#[derive(Debug)]
pub struct Detached(tokio::process::Child);

impl Detached {
    /// `None` once it was waited for.
    pub fn id(&self) -> Option<u32> {
        self.0.id()
    }

    /// Waits for its end. A dropped call loses nothing.
    ///
    /// # Errors
    /// The operating system's failure.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.0.wait().await
    }
}

/// Starts the running program with these arguments and exactly this environment; what it prints goes into `log`.
///
/// # Errors
/// The program's file is gone, or there is no process to be had.
#[expect(clippy::disallowed_methods, reason = "the one other place that starts processes: this program itself")]
pub fn start_own_program(arguments: &[OsString], environment: Vec<(OsString, OsString)>, log: File) -> io::Result<Detached> {
    let errors = log.try_clone()?;
    let child = tokio::process::Command::new(own_program()?)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .kill_on_drop(false)
        .spawn()?;
    Ok(Detached(child))
}

/// After an upgrade the running file has been replaced: its name then ends in " (deleted)", and the new one is at the old name.
fn own_program() -> io::Result<std::path::PathBuf> {
    let path = std::env::current_exe()?;
    let shown = path.to_string_lossy();
    Ok(shown.strip_suffix(" (deleted)").map_or_else(|| path.clone(), std::path::PathBuf::from))
}

//! Starts a program and waits for its end.

use std::collections::HashMap;
use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::program::PATH;
use super::{Finished, FolderLimit, FolderSize, Invocation, Program};
use crate::output::{LineSplitter, Lines};

/// Pause between two measurements of a limited folder.
const FOLDER_CHECK_INTERVAL: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 16 * 1024;

/// Why a process did not come to its own end. In each case nothing of it runs any more.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the program {program} is not installed on this server")]
    Missing { program: &'static str },
    #[error("{program} cannot be started")]
    Start {
        program: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("{program} was stopped after {} seconds", timeout.as_secs())]
    TimedOut { program: &'static str, timeout: Duration },
    #[error("{program} was canceled")]
    Canceled { program: &'static str },
    #[error("{program} was stopped: {} bytes in {} files are more than the limit", size.size_bytes, size.files)]
    FolderLimit { program: &'static str, size: FolderSize },
    #[error("the output of {program} cannot be read")]
    Output {
        program: &'static str,
        #[source]
        source: io::Error,
    },
}

/// What was started; for tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub program: Program,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

/// Starts processes. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Runner {
    records: Option<Arc<Mutex<Vec<Recorded>>>>,
    found: Arc<Mutex<HashMap<Program, std::path::PathBuf>>>,
}

/// Kills the group when the future that waits for it is dropped.
struct GroupGuard(Option<Pid>);

impl GroupGuard {
    fn kill(&self) {
        if let Some(group) = self.0 {
            // The group may be gone already; then there is nothing to kill.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Runner {
    pub fn new() -> Self {
        Self::default()
    }

    /// A runner that remembers every argument vector and environment; for tests.
    pub fn recording() -> Self {
        Self { records: Some(Arc::default()), ..Self::default() }
    }

    pub fn recorded(&self) -> Vec<Recorded> {
        self.records.as_ref().map(|records| records.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
    }

    /// Runs to the end. A non-zero exit code is not an error here.
    ///
    /// # Errors
    /// [`RunError`]: not started, canceled, timed out, or a limit was hit.
    pub async fn run(&self, invocation: Invocation, cancel: &CancellationToken) -> Result<Finished, RunError> {
        self.run_with_lines(invocation, None, cancel).await
    }

    /// Like [`Runner::run`] and hands every line of both streams to `lines` as it comes.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub async fn run_with_lines(
        &self,
        invocation: Invocation,
        lines: Option<&Lines<'_>>,
        cancel: &CancellationToken,
    ) -> Result<Finished, RunError> {
        let program = invocation.program.name();
        if cancel.is_cancelled() {
            return Err(RunError::Canceled { program });
        }
        let mut child = self.start(&invocation)?;
        let group = GroupGuard(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
        let stdin = child.stdin.take();
        let input = invocation.input.unwrap_or_default();
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A process that does not read its input to the end has decided so.
                let _closed = stdin.write_all(&input).await;
            }
        };
        let limit = invocation.output_bytes_max;
        let work = async {
            let (stdout, stderr, ()) =
                tokio::join!(collect(child.stdout.take(), limit, lines), collect(child.stderr.take(), limit, lines), feed);
            let status = child.wait().await;
            (stdout, stderr, status)
        };
        let timeout = invocation.timeout;
        let (stdout, stderr, status) = tokio::select! {
            done = work => done,
            () = cancel.cancelled() => return Err(RunError::Canceled { program }),
            () = tokio::time::sleep(timeout) => return Err(RunError::TimedOut { program, timeout }),
            size = watch(invocation.folder_limit) => return Err(RunError::FolderLimit { program, size }),
        };
        drop(group);
        let output = |source| RunError::Output { program, source };
        let (stdout, stdout_cut) = stdout.map_err(output)?;
        let (stderr, stderr_cut) = stderr.map_err(output)?;
        let status = status.map_err(output)?;
        Ok(Finished { exit_code: status.code(), stdout, stderr, truncated: stdout_cut || stderr_cut })
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
    fn start(&self, invocation: &Invocation) -> Result<tokio::process::Child, RunError> {
        let program = invocation.program;
        if let Some(records) = &self.records {
            records.lock().unwrap_or_else(PoisonError::into_inner).push(Recorded {
                program,
                arguments: invocation.arguments.clone(),
                environment: invocation.environment.clone(),
            });
        }
        let path = self.find(program)?;
        tokio::process::Command::new(path)
            .args(&invocation.arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .env("LANGUAGE", "C")
            .envs(invocation.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&invocation.directory)
            .stdin(if invocation.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| RunError::Start { program: program.name(), source })
    }

    fn find(&self, program: Program) -> Result<std::path::PathBuf, RunError> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = found.get(&program) {
            return Ok(path.clone());
        }
        let path = program.find().ok_or(RunError::Missing { program: program.name() })?;
        found.insert(program, path.clone());
        Ok(path)
    }
}

/// Reads a stream to its end, keeps the first `limit` bytes.
async fn collect(stream: Option<impl AsyncRead + Unpin>, limit: usize, lines: Option<&Lines<'_>>) -> io::Result<(Vec<u8>, bool)> {
    let Some(mut stream) = stream else { return Ok((Vec::new(), false)) };
    let mut kept = Vec::new();
    let mut truncated = false;
    let mut buffer = vec![0u8; READ_BYTES];
    let mut splitter = LineSplitter::default();
    loop {
        let count = stream.read(&mut buffer).await?;
        let chunk = buffer.get(..count).unwrap_or_default();
        if let Some(lines) = lines {
            let ready = if count == 0 { splitter.finish().into_iter().collect() } else { splitter.push(chunk) };
            for line in ready {
                lines.say(&line).await;
            }
        }
        if count == 0 {
            return Ok((kept, truncated));
        }
        let room = limit.saturating_sub(kept.len());
        truncated |= count > room;
        kept.extend_from_slice(chunk.get(..count.min(room)).unwrap_or_default());
    }
}

/// Resolves once the folder is too large; never without a limit.
async fn watch(limit: Option<FolderLimit>) -> FolderSize {
    let Some(limit) = limit else { return std::future::pending().await };
    let limit = Arc::new(limit);
    loop {
        tokio::time::sleep(FOLDER_CHECK_INTERVAL).await;
        let measured = limit.clone();
        if let Ok(Some(size)) = tokio::task::spawn_blocking(move || measured.exceeded()).await {
            return size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(arguments: &[&str]) -> Invocation {
        Invocation::new(Program::Git).arguments(arguments.iter().copied()).directory("/tmp")
    }

    #[tokio::test]
    async fn arguments_arrive_as_they_are_and_the_environment_is_empty() {
        let runner = Runner::recording();
        let hostile = "$(touch /tmp/canary);`id`\n&& x";
        let finished = runner.run(git(&["rev-parse", "--sq-quote", hostile]), &CancellationToken::new()).await.unwrap();
        assert!(finished.success());
        assert!(finished.stdout_text().contains("$(touch /tmp/canary);`id`"));
        assert_eq!(runner.recorded()[0].arguments[2], hostile);
        let shown = runner
            .run(git(&["-c", "alias.e=!env", "e"]).variable("HOME", "/nonexistent"), &CancellationToken::new())
            .await
            .unwrap()
            .stdout_text();
        assert!(shown.contains("HOME=/nonexistent"));
        assert!(!shown.contains("CARGO"), "{shown}");
    }

    #[tokio::test]
    async fn a_time_out_ends_the_whole_group() {
        let marker = tempfile::tempdir().unwrap();
        let pid_file = marker.path().join("pid");
        let alias = format!("alias.w=!sleep 300 & echo $! > {}; wait", pid_file.display());
        let error =
            Runner::new().run(git(&["-c", &alias, "w"]).timeout(Duration::from_millis(500)), &CancellationToken::new()).await.unwrap_err();
        assert!(matches!(error, RunError::TimedOut { .. }), "{error}");
        assert_gone(&std::fs::read_to_string(pid_file).unwrap()).await;
    }

    #[tokio::test]
    async fn cancelling_and_dropping_end_the_whole_group() {
        let marker = tempfile::tempdir().unwrap();
        for drop_it in [false, true] {
            let pid_file = marker.path().join(format!("pid-{drop_it}"));
            let alias = format!("alias.w=!sleep 300 & echo $! > {}; wait", pid_file.display());
            let cancel = CancellationToken::new();
            let token = cancel.clone();
            let task = tokio::spawn(async move { Runner::new().run(git(&["-c", &alias, "w"]), &token).await });
            let deadline = std::time::Instant::now() + Duration::from_secs(10);
            while std::fs::read_to_string(&pid_file).map(|text| text.is_empty()).unwrap_or(true) {
                assert!(std::time::Instant::now() < deadline, "the process did not start");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if drop_it {
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled());
            } else {
                cancel.cancel();
                assert!(matches!(task.await.unwrap().unwrap_err(), RunError::Canceled { .. }));
            }
            assert_gone(&std::fs::read_to_string(pid_file).unwrap()).await;
        }
    }

    async fn assert_gone(pid: &str) {
        let stat = format!("/proc/{}/stat", pid.trim());
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        // A killed process may be a zombie until its new parent collects it.
        while std::fs::read_to_string(&stat).is_ok_and(|text| !text.contains(") Z ")) {
            assert!(std::time::Instant::now() < deadline, "process {pid} still runs");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn output_and_folder_limits_hold() {
        let folder = tempfile::tempdir().unwrap();
        let finished = Runner::new()
            .run(git(&["-c", "alias.y=!yes | head -c 100000", "y"]).output_bytes_max(1000), &CancellationToken::new())
            .await
            .unwrap();
        assert!(finished.truncated);
        assert_eq!(finished.stdout.len(), 1000);
        let limit = FolderLimit { folder: folder.path().into(), size_bytes_max: 1_000_000, files_max: 10 };
        let error = Runner::new()
            .run(git(&["-c", "alias.y=!yes > big", "y"]).directory(folder.path()).folder_limit(limit), &CancellationToken::new())
            .await
            .unwrap_err();
        assert!(matches!(error, RunError::FolderLimit { .. }), "{error}");
    }

    #[test]
    fn secret_files_are_private_and_vanish() {
        use std::os::unix::fs::PermissionsExt;
        let base = tempfile::tempdir().unwrap();
        let secrets = super::super::SecretDir::create(base.path()).unwrap();
        let path = secrets.write("key", &domain::Secret::new("s3cret".into())).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(secrets.path()).unwrap().permissions().mode() & 0o777, 0o700);
        drop(secrets);
        assert!(!path.exists());
        std::fs::create_dir(base.path().join("job-left")).unwrap();
        assert_eq!(super::super::SecretDir::sweep(base.path()).unwrap(), 1);
    }
}

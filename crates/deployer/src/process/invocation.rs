//! What is started and how it ended.

use std::path::PathBuf;
use std::time::Duration;

use super::{FolderLimit, Program};

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// Output kept of each of the two streams; a process that writes more goes on, the rest is dropped.
const OUTPUT_BYTES_MAX_DEFAULT: usize = 1024 * 1024;

/// One start of a program.
#[derive(Debug, Clone)]
pub struct Invocation {
    pub(super) program: Program,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) directory: PathBuf,
    pub(super) input: Option<Vec<u8>>,
    pub(super) timeout: Duration,
    pub(super) output_bytes_max: usize,
    pub(super) folder_limit: Option<FolderLimit>,
}

impl Invocation {
    pub fn new(program: Program) -> Self {
        Self {
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: PathBuf::from("/"),
            input: None,
            timeout: TIMEOUT_DEFAULT,
            output_bytes_max: OUTPUT_BYTES_MAX_DEFAULT,
            folder_limit: None,
        }
    }

    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    #[must_use]
    pub fn arguments<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// A variable of its environment, which is otherwise empty but for `PATH` and `LANG`. Never a secret: the environment
    /// of a process can be read by its user.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub fn variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables);
        self
    }

    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// Bytes for its standard input; without them it reads end of file.
    #[must_use]
    pub fn input(mut self, input: Vec<u8>) -> Self {
        self.input = Some(input);
        self
    }

    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    #[must_use]
    pub fn output_bytes_max(mut self, bytes: usize) -> Self {
        self.output_bytes_max = bytes;
        self
    }

    /// Kills it when the folder grows beyond the limit.
    #[must_use]
    pub fn folder_limit(mut self, limit: FolderLimit) -> Self {
        self.folder_limit = Some(limit);
        self
    }
}

/// A process that ended by itself, with whatever exit code.
#[derive(Debug, Clone)]
pub struct Finished {
    /// `None` when a signal ended it.
    pub exit_code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// Output beyond the limit was dropped.
    pub truncated: bool,
}

impl Finished {
    pub fn success(&self) -> bool {
        self.exit_code == Some(0)
    }

    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

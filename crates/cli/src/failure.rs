//! What went wrong, what to do next, and the exit code that tells scripts apart.

use contract::Problem;

/// Exit codes; docs/cli.md lists them.
pub mod codes {
    /// What was asked for did not happen (a deployment failed, the instance refused).
    pub const FAILED: u8 = 1;
    /// The command line cannot be understood, or names too little.
    pub const USAGE: u8 = 2;
    /// Not signed in, or the token is not accepted.
    pub const UNAUTHENTICATED: u8 = 3;
    /// What was named does not exist, or is not yours.
    pub const NOT_FOUND: u8 = 4;
    /// The instance does not answer.
    pub const UNREACHABLE: u8 = 5;
}

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Other(String),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    NotFound(String),
    #[error("not signed in to {url}; run `seaway login {url}`, or set SEAWAY_TOKEN")]
    NotSignedIn { url: String },
    #[error("no instance is known; run `seaway login URL`, or set SEAWAY_URL")]
    NoInstance,
    #[error("{url} does not answer: {reason}; check the address and that Seaway runs")]
    Unreachable { url: String, reason: String },
    /// The instance refused.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// It ended otherwise than asked; everything has been said already.
    #[error("{0}")]
    Ended(String),
}

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn other(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    pub fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Other(_) | Self::Ended(_) => codes::FAILED,
            Self::Usage(_) => codes::USAGE,
            Self::NotFound(_) => codes::NOT_FOUND,
            Self::NotSignedIn { .. } | Self::NoInstance => codes::UNAUTHENTICATED,
            Self::Unreachable { .. } => codes::UNREACHABLE,
            Self::Refused(problem) => match problem.status {
                401 => codes::UNAUTHENTICATED,
                404 => codes::NOT_FOUND,
                _ => codes::FAILED,
            },
        }
    }

    /// A stable word for `--json`.
    pub fn code(&self) -> &str {
        match self {
            Self::Other(_) => "failed",
            Self::Ended(_) => "ended",
            Self::Usage(_) => "usage",
            Self::NotFound(_) => "not-found",
            Self::NotSignedIn { .. } => "not-authenticated",
            Self::NoInstance => "no-instance",
            Self::Unreachable { .. } => "unreachable",
            Self::Refused(problem) => &problem.code,
        }
    }
}

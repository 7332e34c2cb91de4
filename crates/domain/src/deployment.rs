//! The states and ends of a deployment, and the classes of its failure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a deployment is. The last four are ends; a deployment always reaches one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Queued,
    WaitingForCi,
    Cloning,
    Building,
    PushingImage,
    Releasing,
    Starting,
    HealthChecking,
    Live,
    Failed,
    Canceled,
    Skipped,
}

impl Phase {
    pub const ALL: [Self; 12] = [
        Self::Queued,
        Self::WaitingForCi,
        Self::Cloning,
        Self::Building,
        Self::PushingImage,
        Self::Releasing,
        Self::Starting,
        Self::HealthChecking,
        Self::Live,
        Self::Failed,
        Self::Canceled,
        Self::Skipped,
    ];

    pub fn is_end(self) -> bool {
        matches!(self, Self::Live | Self::Failed | Self::Canceled | Self::Skipped)
    }
}

/// The durable steps of a deployment, in order. Each has an intent row before and an outcome row after its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    Accept,
    Fetch,
    Build,
    Release,
    ReleaseCommand,
    Create,
    Start,
    Health,
    Switch,
    Drain,
    Stop,
    PostDeploy,
    Record,
}

impl Step {
    pub const ALL: [Self; 13] = [
        Self::Accept,
        Self::Fetch,
        Self::Build,
        Self::Release,
        Self::ReleaseCommand,
        Self::Create,
        Self::Start,
        Self::Health,
        Self::Switch,
        Self::Drain,
        Self::Stop,
        Self::PostDeploy,
        Self::Record,
    ];

    pub fn phase(self) -> Phase {
        match self {
            Self::Accept => Phase::Queued,
            Self::Fetch => Phase::Cloning,
            Self::Build => Phase::Building,
            Self::Release | Self::ReleaseCommand => Phase::Releasing,
            Self::Create | Self::Start => Phase::Starting,
            Self::Health | Self::Switch | Self::Drain | Self::Stop | Self::PostDeploy | Self::Record => Phase::HealthChecking,
        }
    }
}

/// Why a deployment failed, as a class that a person and a program can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The repository cannot be reached, does not exist or refuses the credential.
    Clone,
    /// The source breaks a limit or tries to leave its folder.
    Source,
    /// The Dockerfile is missing or invalid, or a step of it failed.
    Build,
    BuildTimeout,
    /// The image cannot be pulled.
    Image,
    /// A variable refers to something that does not exist.
    Configuration,
    ReleaseCommand,
    /// The container could not be started or its process ended at once.
    Start,
    Health,
    /// The app listens, but on another port.
    PortMismatch,
    OutOfMemory,
    DiskFull,
    /// The Docker engine or the server does not answer.
    Engine,
    /// The ingress did not take over the routes.
    Ingress,
    /// The process that worked on it is gone and it could not be resumed.
    WorkerLost,
    /// A fault of Seaway.
    Internal,
}

/// What ends a deployment with `failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    pub cause: Cause,
    pub step: Step,
    /// What happened, in one or two sentences.
    pub message: String,
    /// What to do next.
    pub next_step: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// The last lines of the log that explains it, masked.
    #[serde(default)]
    pub log_tail: Vec<String>,
}

impl Failure {
    pub fn new(cause: Cause, step: Step, message: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self { cause, step, message: message.into(), next_step: next_step.into(), exit_code: None, log_tail: Vec::new() }
    }

    #[must_use]
    pub fn with_exit_code(mut self, exit_code: i64) -> Self {
        self.exit_code = Some(exit_code);
        self
    }

    #[must_use]
    pub fn with_log_tail(mut self, lines: Vec<String>) -> Self {
        self.log_tail = lines;
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.message, self.next_step)
    }
}

impl std::error::Error for Failure {}

/// Why a deployment was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    PathFilter,
    SkipCi,
    NoChange,
    Superseded,
}

/// What asked for a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    Manual,
    Api,
    Push,
    /// A changed variable, setting, domain or scale.
    Configuration,
    Rollback,
    Restart,
    Schedule,
}

/// The badge of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Never deployed.
    New,
    Live,
    Deploying,
    Waiting,
    Degraded,
    Crashed,
    Failed,
    Stopped,
    Suspended,
    Unknown,
}

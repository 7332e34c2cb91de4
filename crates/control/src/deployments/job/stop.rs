//! Why the road to `live` ended before its end.

use domain::deployment::{Cause, Failure, Step};
use store::StoreError;

use crate::error::ControlError;

pub(super) enum Stop {
    Failed(Failure),
    Canceled,
    /// Not the deployment's fault: try the step again.
    Again(anyhow::Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure.cause {
            Cause::WorkerLost => Self::Again(anyhow::anyhow!("{failure}")),
            _ => Self::Failed(failure),
        }
    }
}

impl From<ControlError> for Stop {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Unavailable(why) => Self::Again(anyhow::anyhow!(why)),
            ControlError::Internal(cause) => Self::Again(cause),
            ControlError::Server(failure) => failure.into(),
            ControlError::Invalid(errors) => {
                let words = errors.into_iter().map(|error| error.detail).collect::<Vec<_>>().join(" ");
                Self::Failed(Failure::new(
                    Cause::Configuration,
                    Step::Accept,
                    words,
                    "Correct the variable under Variables, then deploy again. The release that serves is not touched.",
                ))
            }
            ControlError::Refused { detail, .. } => {
                Self::Failed(Failure::new(Cause::Configuration, Step::Accept, detail, "Change it and deploy again."))
            }
            ControlError::NotFound(what) => {
                let message = format!("There is no such {what} any more.");
                Self::Failed(Failure::new(
                    Cause::Configuration,
                    Step::Accept,
                    message,
                    "Choose another in the service's settings, then deploy again.",
                ))
            }
            ControlError::Sealed(why) => {
                Self::Failed(Failure::new(Cause::Internal, Step::Accept, why, "The operator has to unseal the vault; see `seaway doctor`."))
            }
            other => Self::Failed(Failure::new(Cause::Internal, Step::Accept, other.to_string(), "Deploy again.")),
        }
    }
}

impl Stop {
    /// Names the step, where it is known better than by the error.
    pub(super) fn at(mut self, step: Step) -> Self {
        if let Self::Failed(failure) = &mut self {
            failure.step = step;
        }
        self
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Again(anyhow::Error::new(error))
    }
}

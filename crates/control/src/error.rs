//! What a use case can answer instead of its result. The API turns each into one problem code, in one place.

use contract::{Code, FieldError};
use domain::deployment::Failure;
use domain::permission::Permission;

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Missing, deleted or not yours: the same answer.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("the role does not allow {0:?}")]
    Forbidden(Permission),
    #[error("the token's scopes do not allow {0:?}")]
    ScopeMissing(Permission),
    /// Any other refusal that has a code of its own.
    #[error("{detail}")]
    Refused { code: Code, detail: String },
    #[error("some fields are not valid")]
    Invalid(Vec<FieldError>),
    #[error("the limit {name} of {max} is reached")]
    Limit { name: &'static str, current: u64, max: u64 },
    #[error("too many requests, try again in {retry_after_seconds} s")]
    RateLimited { policy: &'static str, retry_after_seconds: u64 },
    #[error("the server answered: {0}")]
    Server(Failure),
    #[error("the vault is sealed: {0}")]
    Sealed(String),
    #[error("a part of Seaway does not answer: {0}")]
    Unavailable(String),
    /// A fault of ours: logged in full, answered with fixed text.
    #[error(transparent)]
    Internal(#[from] anyhow::Error),
}

impl ControlError {
    pub fn refused(code: Code, detail: impl Into<String>) -> Self {
        Self::Refused { code, detail: detail.into() }
    }

    pub fn invalid(pointer: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(pointer, code, detail)])
    }
}

pub type Result<T> = std::result::Result<T, ControlError>;

impl From<store::StoreError> for ControlError {
    fn from(error: store::StoreError) -> Self {
        match error {
            store::StoreError::Unavailable(_) | store::StoreError::Contention(_) => Self::Unavailable(error.to_string()),
            store::StoreError::NotFound { row } => Self::NotFound(row),
            other => Self::Internal(anyhow::Error::new(other)),
        }
    }
}

//! Hashing and comparing passwords, off the asynchronous threads.

use contract::{Code, FieldError};
use domain::Secret;
use vault::password::{Context, PasswordError, PasswordPolicy, Verdict};

use crate::Control;
use crate::error::{ControlError, Result};

/// Seconds after which a refused log-in may be tried again when all hashing places are taken.
const BUSY_RETRY_SECONDS: u64 = 2;

impl Control {
    /// # Errors
    /// `Invalid` at the pointer, with every weakness.
    pub(crate) fn check_password(pointer: &str, password: &Secret<String>, context: &Context<'_>) -> Result<()> {
        PasswordPolicy::default().check(password, context).map_err(|weaknesses| {
            ControlError::Invalid(
                weaknesses
                    .into_iter()
                    .map(|one| FieldError::new(pointer, one.code(), format!("Choose another password: {one}.")))
                    .collect(),
            )
        })
    }

    pub(crate) async fn hash_password(&self, password: &Secret<String>) -> Result<String> {
        let (hasher, entropy, password) = (self.hasher(), self.shared_entropy(), password.clone());
        let hashed = tokio::task::spawn_blocking(move || hasher.hash(&password, entropy.as_ref())).await;
        hashed.map_err(anyhow::Error::new)?.map_err(refused)
    }

    /// Compares; without a stored hash it takes as long and says no.
    pub(crate) async fn password_verdict(&self, password: &Secret<String>, stored: Option<String>) -> Result<Verdict> {
        let (hasher, password) = (self.hasher(), password.clone());
        let verdict = tokio::task::spawn_blocking(move || match stored {
            Some(stored) => hasher.verify(&password, &stored),
            None => hasher.verify_nobody(&password).map(|()| Verdict::Wrong),
        })
        .await;
        verdict.map_err(anyhow::Error::new)?.map_err(refused)
    }
}

fn refused(error: PasswordError) -> ControlError {
    match error {
        PasswordError::Busy => ControlError::RateLimited { policy: "login", retry_after_seconds: BUSY_RETRY_SECONDS },
        PasswordError::TooLong => ControlError::refused(Code::Invalid, format!("{error}.")),
        PasswordError::DamagedHash | PasswordError::Hash(_) => ControlError::Internal(anyhow::Error::new(error)),
    }
}

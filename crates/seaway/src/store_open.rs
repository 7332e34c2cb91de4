//! Opening the database at start, with patience.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::configuration::DatabaseConfiguration;

const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Opens and migrates. A database that is down is waited for (another machine may start later); anything else ends the start.
///
/// # Errors
/// A wrong address, a refused login, a migration that fails, or the stop signal.
pub async fn open_patiently(configuration: &DatabaseConfiguration, stop: &CancellationToken) -> Result<Store> {
    let mut pause = PAUSE_FIRST;
    loop {
        let error = match open_once(configuration).await {
            Ok(store) => return Ok(store),
            Err(error) => error,
        };
        let waits = !configuration.is_sqlite() && matches!(error, StoreError::Unavailable(_) | StoreError::Contention(_));
        if !waits {
            return Err(error).with_context(|| format!("the {} database cannot be opened; check database_url", configuration.kind()));
        }
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        tracing::warn!("the database does not answer ({cause}); trying again in {} ms", pause.as_millis());
        tokio::select! {
            () = stop.cancelled() => bail!("stopped while waiting for the database"),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// For verbs: one try.
///
/// # Errors
/// Whatever is wrong.
pub async fn open(configuration: &DatabaseConfiguration) -> Result<Store> {
    open_once(configuration)
        .await
        .with_context(|| format!("the {} database cannot be opened; check database_url and that it runs", configuration.kind()))
}

async fn open_once(configuration: &DatabaseConfiguration) -> Result<Store, StoreError> {
    let store = Store::open(configuration.url.reveal()).await?;
    store.migrate().await?;
    Ok(store)
}

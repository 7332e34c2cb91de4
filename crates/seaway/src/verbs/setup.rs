//! `seaway setup-link`.

use anyhow::Result;

use super::offline;
use crate::configuration::Configuration;
use crate::say;

/// Prints a new one-time link for the first owner; earlier ones stop working.
///
/// # Errors
/// The database's or the vault's.
pub async fn link(configuration: &Configuration, json: bool) -> Result<()> {
    let control = offline::control(configuration).await?;
    let link = control.setup_link().await?;
    match (link, json) {
        (Some(link), true) => say::line(serde_json::json!({"needed": true, "link": link.reveal()})),
        (Some(link), false) => say::line(link.reveal()),
        (None, true) => say::line(serde_json::json!({"needed": false})),
        (None, false) => say::line("this instance has an operator already; a lost password: seaway user reset-password EMAIL"),
    }
    control.store().close().await;
    Ok(())
}

//! `seaway setup-link`.

use anyhow::{Context, Result};

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

/// Prints a one-time link with which the person chooses a new password: the way back when no mail arrives.
///
/// # Errors
/// There is no such account; the database's.
pub async fn reset_password(configuration: &Configuration, email: &str, json: bool) -> Result<()> {
    let control = offline::control(configuration).await?;
    let link = control.password_reset_link(email).await?;
    control.store().close().await;
    let link = link.with_context(|| format!("there is no account with the address {email}"))?;
    match json {
        true => say::line(serde_json::json!({"link": link.reveal()})),
        false => say::line(link.reveal()),
    }
    say::remark("it works once, for an hour; the audit log notes it");
    Ok(())
}

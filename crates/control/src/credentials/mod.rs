//! Credentials for git hosts and registries: sealed to their row, opened by the worker that needs one and never shown.

mod create;
mod delete;
mod key_pair;
mod open;
mod read;
mod update;

use contract::credentials::Credential;
use domain::Secret;
use domain::id::{CredentialId, Id, OrganizationId};
use domain::service::Source;
use store::credentials::CredentialRow;
use store::services::ServiceRow;
use vault::Place;

use crate::error::{ControlError, Result};

const NAME_LENGTH_MAX: usize = 80;
const HOST_LENGTH_MAX: usize = 255;
const VALUE_LENGTH_MAX: usize = 64 * 1024;
const KNOWN_HOSTS_LENGTH_MAX: usize = 64 * 1024;
/// Credentials of an organization.
const CREDENTIALS_MAX: i64 = 200;

/// Where the value of a credential is sealed to.
pub(crate) fn place(organization: OrganizationId, id: CredentialId) -> Place<'static> {
    Place { tenant: organization.uuid(), table: "credentials", column: "sealed_value", row: id.uuid(), name: "" }
}

fn shown(row: CredentialRow, used_by: Vec<domain::id::ServiceId>) -> Credential {
    Credential {
        id: row.id,
        kind: row.kind,
        name: row.name,
        host: row.host,
        username: row.username,
        hint: row.last_characters.map(|last| format!("••••{last}")),
        public_line: row.public_line,
        fingerprint: row.fingerprint,
        known_hosts: row.known_hosts,
        version: u64::try_from(row.version).unwrap_or(1),
        created_at: row.created_at,
        updated_at: row.updated_at,
        used_by,
    }
}

fn uses(service: &ServiceRow, id: CredentialId) -> bool {
    matches!(&service.configuration.0.source, Some(Source::Git { credential: Some(used), .. } | Source::Image { credential: Some(used), .. }) if *used == id)
}

fn check_text(pointer: &str, text: &str, length_max: usize) -> Result<()> {
    let visible = !text.trim().is_empty() && text.chars().count() <= length_max && !text.chars().any(char::is_control);
    if visible { Ok(()) } else { Err(ControlError::invalid(pointer, "invalid", format!("1 to {length_max} visible characters"))) }
}

fn check_value(pointer: &str, value: &Secret<String>) -> Result<()> {
    let text = value.reveal();
    if text.is_empty() || text.len() > VALUE_LENGTH_MAX || text.contains('\0') {
        return Err(ControlError::invalid(pointer, "invalid", "it is empty or longer than 64 KiB"));
    }
    Ok(())
}

fn check_known_hosts(pointer: &str, text: &str) -> Result<()> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let valid = !lines.is_empty() && text.len() <= KNOWN_HOSTS_LENGTH_MAX && lines.iter().all(|line| line.split_whitespace().count() >= 3);
    if valid {
        return Ok(());
    }
    Err(ControlError::invalid(
        pointer,
        "invalid",
        "give the lines that `ssh-keyscan HOST` prints (host, kind, key), after comparing them with what the git host publishes",
    ))
}

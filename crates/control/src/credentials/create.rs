use contract::Code;
use contract::credentials::{CreateCredential, Credential};
use domain::Secret;
use domain::credential::{CredentialKind, last_characters};
use domain::id::CredentialId;
use domain::permission::Permission;
use store::audit::ActorKind;
use store::credentials::CredentialRow;

use super::{CREDENTIALS_MAX, HOST_LENGTH_MAX, NAME_LENGTH_MAX, check_known_hosts, check_text, check_value, key_pair, place, shown};
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

/// The parts of a credential by kind.
struct Parts {
    kind: CredentialKind,
    name: String,
    value: Secret<String>,
    host: Option<String>,
    username: Option<String>,
    public_line: Option<String>,
    fingerprint: Option<String>,
    known_hosts: Option<String>,
}

impl Control {
    /// Seals a new credential of the organization.
    ///
    /// # Errors
    /// `invalid` with the field; `name-taken`.
    pub async fn create_credential(&self, actor: &Actor, wanted: CreateCredential) -> Result<Credential> {
        actor.require(Permission::CredentialsWrite)?;
        actor.require_all_projects(Permission::CredentialsWrite)?;
        let parts = self.credential_parts(wanted)?;
        let count = store::credentials::count(&mut self.store().read().await?, actor.organization).await?;
        if count >= CREDENTIALS_MAX {
            return Err(ControlError::Limit { name: "credentials", current: count.unsigned_abs(), max: CREDENTIALS_MAX.unsigned_abs() });
        }
        let id = CredentialId::new(self.clock(), self.entropy());
        let sealed_value = self.keys().seal(self.store(), &place(actor.organization, id), &parts.value).await?;
        let now = self.clock().now();
        let author = actor.author();
        let hint = if parts.kind == CredentialKind::GitToken { last_characters(parts.value.reveal()) } else { None };
        let row = CredentialRow {
            id,
            organization_id: actor.organization,
            kind: parts.kind,
            name: parts.name,
            sealed_value,
            host: parts.host,
            username: parts.username,
            public_line: parts.public_line,
            fingerprint: parts.fingerprint,
            known_hosts: parts.known_hosts,
            last_characters: hint,
            version: 1,
            author_kind: if author.kind == "token" { ActorKind::Token } else { ActorKind::User },
            author_id: author.id,
            created_at: now,
            updated_at: now,
        };
        let mut write = self.store().write().await?;
        store::credentials::insert(&mut write, &row).await.map_err(name_taken)?;
        self.record(actor, "credential.created").resource("credential", id, Some(&row.name)).append(&mut write).await?;
        write.commit().await?;
        Ok(shown(row, Vec::new()))
    }

    fn credential_parts(&self, wanted: CreateCredential) -> Result<Parts> {
        let parts = match wanted {
            CreateCredential::GitToken { name, username, token, host } => {
                check_value("/token", &token)?;
                let username = Some(username.unwrap_or_else(|| "git".to_owned()));
                Parts {
                    kind: CredentialKind::GitToken,
                    name,
                    value: token,
                    host,
                    username,
                    public_line: None,
                    fingerprint: None,
                    known_hosts: None,
                }
            }
            CreateCredential::DeployKey { name, private_key, known_hosts, host } => {
                check_known_hosts("/known_hosts", &known_hosts)?;
                let pair = match &private_key {
                    Some(text) => key_pair::read(text)?,
                    None => key_pair::generate(self.entropy(), &format!("seaway-{}", name.trim()))?,
                };
                Parts {
                    kind: CredentialKind::DeployKey,
                    name,
                    value: pair.private_key,
                    host,
                    username: None,
                    public_line: Some(pair.public_line),
                    fingerprint: Some(pair.fingerprint),
                    known_hosts: Some(known_hosts),
                }
            }
            CreateCredential::Registry { name, host, username, password } => {
                check_value("/password", &password)?;
                check_text("/username", &username, NAME_LENGTH_MAX)?;
                Parts {
                    kind: CredentialKind::Registry,
                    name,
                    value: password,
                    host: Some(host),
                    username: Some(username),
                    public_line: None,
                    fingerprint: None,
                    known_hosts: None,
                }
            }
        };
        check_text("/name", &parts.name, NAME_LENGTH_MAX)?;
        if let Some(host) = &parts.host {
            check_text("/host", host, HOST_LENGTH_MAX)?;
        }
        if let Some(username) = &parts.username {
            check_text("/username", username, NAME_LENGTH_MAX)?;
        }
        Ok(Parts { name: parts.name.trim().to_owned(), ..parts })
    }
}

pub(super) fn name_taken(error: store::StoreError) -> ControlError {
    if error.is_conflict_of("credentials_name") {
        return ControlError::refused(Code::NameTaken, "The organization has a credential of this name. Choose another name.");
    }
    error.into()
}

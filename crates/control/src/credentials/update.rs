use contract::credentials::{Credential, UpdateCredential};
use domain::credential::{CredentialKind, last_characters};
use domain::id::{CredentialId, Id};
use domain::permission::Permission;

use super::create::name_taken;
use super::{HOST_LENGTH_MAX, NAME_LENGTH_MAX, check_known_hosts, check_text, check_value, key_pair, place, shown};
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// Renames a credential or replaces its value; the next deployment uses the new one.
    pub async fn update_credential(&self, actor: &Actor, wanted: UpdateCredential) -> Result<Credential> {
        actor.require(Permission::CredentialsWrite)?;
        actor.require_all_projects(Permission::CredentialsWrite)?;
        let id = CredentialId::from_uuid(actor.located.id);
        let mut row = store::credentials::find(&mut self.store().read().await?, actor.organization, id)
            .await?
            .ok_or(ControlError::NotFound("credential"))?;
        if let Some(name) = wanted.name {
            check_text("/name", &name, NAME_LENGTH_MAX)?;
            row.name = name.trim().to_owned();
        }
        if let Some(host) = wanted.host {
            check_text("/host", &host, HOST_LENGTH_MAX)?;
            row.host = Some(host);
        }
        if let Some(username) = wanted.username {
            check_text("/username", &username, NAME_LENGTH_MAX)?;
            row.username = Some(username);
        }
        if let Some(known_hosts) = wanted.known_hosts {
            check_known_hosts("/known_hosts", &known_hosts)?;
            row.known_hosts = Some(known_hosts);
        }
        let replaced = wanted.value.is_some();
        if let Some(value) = wanted.value {
            check_value("/value", &value)?;
            let value = if row.kind == CredentialKind::DeployKey {
                let pair = key_pair::read(&value)?;
                row.public_line = Some(pair.public_line);
                row.fingerprint = Some(pair.fingerprint);
                pair.private_key
            } else {
                row.last_characters = if row.kind == CredentialKind::GitToken { last_characters(value.reveal()) } else { None };
                value
            };
            row.sealed_value = self.keys().seal(self.store(), &place(actor.organization, id), &value).await?;
        }
        row.updated_at = self.clock().now();
        let mut write = self.store().write().await?;
        store::credentials::update(&mut write, &row).await.map_err(name_taken)?;
        self.record(actor, "credential.updated")
            .resource("credential", id, Some(&row.name))
            .detail("value_replaced", replaced)
            .append(&mut write)
            .await?;
        write.commit().await?;
        row.version += 1;
        Ok(shown(row, Vec::new()))
    }
}

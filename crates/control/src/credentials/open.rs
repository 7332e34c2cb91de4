//! Opens a credential for a deployment.

use deployer::protocol::{GitCredential, RegistryCredential};
use domain::credential::CredentialKind;
use domain::id::{CredentialId, OrganizationId};
use store::credentials::CredentialRow;

use crate::error::{ControlError, Result};
use crate::state::Control;

/// Registries whose credentials a build gets.
const REGISTRIES_MAX: u32 = 20;

impl Control {
    /// Opens a credential for the worker that needs it, and notes so in the audit log.
    async fn opened_credential(&self, organization: OrganizationId, id: CredentialId) -> Result<(CredentialRow, domain::Secret<String>)> {
        let row = store::credentials::find(&mut self.store().read().await?, organization, id)
            .await?
            .ok_or(ControlError::NotFound("credential"))?;
        let value = self.keys().open(self.store(), &super::place(organization, id), &row.sealed_value).await?;
        let mut write = self.store().write().await?;
        self.record_system(Some(organization), "deployer", "credential.used")
            .resource("credential", id, Some(&row.name))
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok((row, value))
    }

    pub(crate) async fn git_credential(&self, organization: OrganizationId, id: CredentialId) -> Result<GitCredential> {
        let (row, value) = self.opened_credential(organization, id).await?;
        match row.kind {
            CredentialKind::GitToken => {
                Ok(GitCredential::Token { username: row.username.unwrap_or_else(|| "git".to_owned()), token: value })
            }
            CredentialKind::DeployKey => {
                Ok(GitCredential::DeployKey { private_key: value, known_hosts: row.known_hosts.unwrap_or_default() })
            }
            CredentialKind::Registry => Err(ControlError::refused(
                contract::Code::Conflict,
                "The credential is one of a registry; a Git source needs a token or a deploy key.",
            )),
        }
    }

    /// Every registry that the organization has a credential for, by host: which of them a Dockerfile needs shows when it is read.
    pub(crate) async fn registry_credentials(&self, organization: OrganizationId) -> Result<Vec<(String, RegistryCredential)>> {
        let page = store::Page { limit: REGISTRIES_MAX, ..store::Page::default() };
        let listed = store::credentials::list(&mut self.store().read().await?, organization, Some(CredentialKind::Registry), &page).await?;
        let mut found = Vec::new();
        for row in listed.rows {
            let Some(host) = row.host.clone() else { continue };
            found.push((host, self.registry_credential(organization, row.id).await?));
        }
        Ok(found)
    }

    pub(crate) async fn registry_credential(&self, organization: OrganizationId, id: CredentialId) -> Result<RegistryCredential> {
        let (row, value) = self.opened_credential(organization, id).await?;
        match row.kind {
            CredentialKind::Registry => Ok(RegistryCredential { username: row.username.unwrap_or_default(), password: value }),
            _ => Err(ControlError::refused(
                contract::Code::Conflict,
                "The credential is one of a Git host; an image needs one of a registry.",
            )),
        }
    }
}

//! Whether a configuration may be saved: its own rules, and that every id in it is the organization's and fits.

use contract::FieldError;
use domain::configuration_check::{Allowed, check};
use domain::credential::CredentialKind;
use domain::id::{CredentialId, OrganizationId, ServiceId};
use domain::service::{Configuration, Mount, Source};
use store::{Unit, credentials, uploads, volumes};

use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// `service`: the one that has the configuration; `None` for one that is being made.
    ///
    /// # Errors
    /// `invalid` with a pointer for each fault.
    pub(crate) async fn check_configuration(
        &self,
        unit: &mut impl Unit,
        organization: OrganizationId,
        service: Option<ServiceId>,
        configuration: &Configuration,
    ) -> Result<()> {
        let bind_folders = self.config().bind_allowed.iter().map(|folder| folder.display().to_string()).collect();
        let allowed = Allowed { bind_folders, git_over_http: self.config().git_over_http, ..Allowed::default() };
        let faults = check(configuration, &allowed);
        let mut errors: Vec<FieldError> =
            faults.into_iter().map(|fault| FieldError::new(format!("/configuration{}", fault.pointer), fault.code, fault.detail)).collect();
        match &configuration.source {
            Some(Source::Git { url, credential: Some(credential), .. }) => {
                let kind = if url.starts_with("https://") || url.starts_with("http://") {
                    CredentialKind::GitToken
                } else {
                    CredentialKind::DeployKey
                };
                self.check_credential(unit, organization, *credential, kind, &mut errors).await?;
            }
            Some(Source::Image { credential: Some(credential), .. }) => {
                self.check_credential(unit, organization, *credential, CredentialKind::Registry, &mut errors).await?;
            }
            Some(Source::Archive { upload: Some(upload) }) => {
                let found = uploads::find(unit, organization, *upload).await?;
                if found.is_none_or(|row| Some(row.service_id) != service) {
                    errors.push(FieldError::new("/configuration/source/upload", "not-found", "this service has no such upload"));
                }
            }
            _ => {}
        }
        for (at, mount) in configuration.mounts.iter().enumerate() {
            if let Mount::Volume { volume, .. } = mount {
                let found = volumes::find(unit, organization, *volume).await?;
                if found.is_none_or(|row| Some(row.service_id) != service || row.deleting_at.is_some()) {
                    errors.push(FieldError::new(
                        format!("/configuration/mounts/{at}/volume"),
                        "not-found",
                        "this service has no such volume; make it first",
                    ));
                }
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(ControlError::Invalid(errors)) }
    }

    async fn check_credential(
        &self,
        unit: &mut impl Unit,
        organization: OrganizationId,
        id: CredentialId,
        wanted: CredentialKind,
        errors: &mut Vec<FieldError>,
    ) -> Result<()> {
        let pointer = "/configuration/source/credential";
        match credentials::find(unit, organization, id).await? {
            None => errors.push(FieldError::new(pointer, "not-found", "the organization has no such credential")),
            Some(row) if row.kind != wanted => {
                errors.push(FieldError::new(
                    pointer,
                    "invalid",
                    format!("this source needs a credential of the kind {}", crate::word(&wanted)),
                ));
            }
            Some(_) => {}
        }
        Ok(())
    }
}

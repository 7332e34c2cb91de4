//! The build: one source revision becomes one image.

use std::collections::BTreeMap;

use deployer::protocol::{BuildOrder, Built, FetchSource, RegistryCredential};
use domain::deployment::{Cause, Failure, Step};
use domain::service::{Builder, Source};

use super::Execution;
use super::stop::Stop;
use crate::deployments::facts::ServiceFacts;
use crate::variables::Purpose;

impl Execution<'_> {
    pub(super) async fn build(&self, facts: &ServiceFacts) -> Result<Built, Stop> {
        if let Some(built) = &self.row.built {
            return serde_json::from_value(built.0.clone()).map_err(|error| Stop::Again(error.into()));
        }
        let control = self.control;
        // One place per build, so that builds do not starve what runs. Whoever cancels does not wait for one.
        let _place = tokio::select! {
            place = control.builds().acquire() => place.map_err(|closed| Stop::Again(closed.into()))?,
            () = self.cancel.cancelled() => return Err(Stop::Canceled),
        };
        let configuration = &facts.service.configuration.0;
        let resolved = control
            .resolve_variables(
                self.row.organization_id,
                self.row.service_id,
                &Purpose {
                    deployment: Some(self.row.id),
                    commit: self.row.commit_id.clone(),
                    branch: facts.branch(self.row),
                    ..Purpose::default()
                },
            )
            .await
            .map_err(|error| Stop::from(error).at(Step::Build))?;
        let mut secrets = BTreeMap::new();
        if let Builder::Dockerfile { secrets: wanted, .. } = &configuration.builder {
            for name in wanted {
                let value = resolved.values.get(name).cloned().ok_or_else(|| {
                    Stop::Failed(Failure::new(
                        Cause::Configuration,
                        Step::Build,
                        format!("The build wants the secret {name}, and the service has no variable of that name."),
                        "Add the variable or take the name out of the build secrets.",
                    ))
                })?;
                secrets.insert(name.clone(), value);
            }
        }
        let masks = resolved.masks;
        let order = BuildOrder {
            operation: self.row.id,
            service: self.row.service_id,
            tenant: self.row.organization_id.to_string(),
            source: self.source(facts).await.map_err(|stop| stop.at(Step::Fetch))?,
            root: configuration.root.clone(),
            builder: configuration.builder.clone(),
            secrets,
            registries: match &configuration.builder {
                Builder::Dockerfile { .. } => {
                    control.registry_credentials(self.row.organization_id).await.map_err(|error| Stop::from(error).at(Step::Build))?
                }
                Builder::Static { .. } | Builder::None => Vec::new(),
            },
            limits: configuration.build_limits.clone(),
            cache: self.row.use_cache && configuration.build_cache,
            masks,
        };
        let built = control.server().build(order, &self.journal(None), self.cancel.clone()).await?;
        let value = serde_json::to_value(&built).map_err(|error| Stop::Again(error.into()))?;
        let mut write = control.store().write().await?;
        self.lease.check(&mut write).await?;
        store::deployments::set_built(&mut write, self.row.id, &value, &built.revision).await?;
        write.commit_without_audit("the steps of a deployment are its own record").await?;
        Ok(built)
    }

    async fn source(&self, facts: &ServiceFacts) -> Result<FetchSource, Stop> {
        let control = self.control;
        let configured = facts.service.configuration.0.source.clone();
        let organization = self.row.organization_id;
        if let Some(upload) = self.row.upload_id.or(match &configured {
            Some(Source::Archive { upload }) => *upload,
            _ => None,
        }) {
            let (path, digest) = control.upload_file(organization, upload).await?;
            return Ok(FetchSource::Archive { path, digest });
        }
        match configured {
            Some(Source::Git { url, reference, credential, submodules, lfs }) => {
                let credential = match credential {
                    Some(id) => Some(control.git_credential(organization, id).await?),
                    None => None,
                };
                let reference = self.row.reference.clone().or(reference);
                Ok(FetchSource::Git { url, reference, commit: self.row.commit_id.clone(), credential, submodules, lfs })
            }
            Some(Source::Image { reference, credential }) => {
                let credential: Option<RegistryCredential> = match credential {
                    Some(id) => Some(control.registry_credential(organization, id).await?),
                    None => None,
                };
                Ok(FetchSource::Image { reference: self.row.reference.clone().unwrap_or(reference), credential })
            }
            Some(Source::Archive { .. }) | None => Err(Stop::Failed(Failure::new(
                Cause::Configuration,
                Step::Fetch,
                "The service has no source.",
                "Set a Git URL, an upload or an image as its source, then deploy again.",
            ))),
        }
    }
}

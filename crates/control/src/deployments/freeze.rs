//! Freezes a release: image, configuration, variables and hosts under the next number; and turns one into the state that the
//! server is asked for.

use std::collections::BTreeMap;

use deployer::protocol::{Built, Desired, DesiredMount, DesiredProcess};
use domain::Secret;
use domain::deployment::Trigger;
use domain::id::{Id, ReleaseId};
use domain::service::Mount;
use jobs::Lease;
use serde::{Deserialize, Serialize};
use store::deployments::DeploymentRow;
use store::releases::ReleaseRow;
use vault::Place;

use super::facts::ServiceFacts;
use crate::error::{ControlError, Result};
use crate::state::Control;
use crate::variables::Purpose;

/// The variables of a release as they are sealed: every value, and which of them must not be shown.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Frozen {
    values: BTreeMap<String, String>,
    /// Managed files, by name.
    files: BTreeMap<String, String>,
    masks: Vec<String>,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for value in self.values.values_mut().chain(self.files.values_mut()).chain(&mut self.masks) {
            zeroize::Zeroize::zeroize(value);
        }
    }
}

impl Frozen {
    pub fn variables(&self) -> BTreeMap<String, Secret<String>> {
        self.values.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect()
    }

    /// Values to be masked in every log.
    pub fn masks(&self) -> Vec<Secret<String>> {
        self.masks.iter().map(|value| Secret::new(value.clone())).collect()
    }
}

/// What a new release is made of.
pub(super) struct Ingredients<'a> {
    pub row: &'a DeploymentRow,
    pub facts: &'a ServiceFacts,
    /// The image that was built, or none when an earlier release's is used.
    pub built: Option<&'a Built>,
}

impl Control {
    /// The release of a deployment: made once, found again by a repeat.
    ///
    /// # Errors
    /// `Invalid` and `Refused` when the service is not fit to be released; anything else is our own trouble.
    pub(super) async fn freeze(&self, ingredients: Ingredients<'_>, lease: &Lease) -> Result<ReleaseRow> {
        let Ingredients { row, facts, built } = &ingredients;
        if let Some(known) = row.release_id {
            let found = store::releases::find(&mut self.store().read().await?, row.organization_id, known).await?;
            return found.ok_or(ControlError::NotFound("release"));
        }
        let base = self.base(row, facts).await?;
        if let Some(target) = base.as_ref().filter(|target| row.target_release_id.is_some() && !target.image_kept) {
            let detail = format!("The image of v{} is not kept any more: it was removed while the rollback waited.", target.version);
            return Err(ControlError::refused(contract::Code::Conflict, detail));
        }
        let now = self.clock().now();
        let id = ReleaseId::new(self.clock(), self.entropy());
        let version = store::releases::next_version(&mut self.store().read().await?, row.service_id).await?;
        let place = sealed_place(row.organization_id.uuid(), id);
        let mut revision_frozen = 0;
        let (sealed, names) = match (&base, row.target_release_id) {
            (Some(target), Some(_)) => {
                // A rollback brings the variables of then back, sealed anew for the new row.
                let text =
                    self.keys().open(self.store(), &sealed_place(row.organization_id.uuid(), target.id), &target.sealed_variables).await?;
                (self.keys().seal(self.store(), &place, &text).await?, target.variable_names.clone())
            }
            _ => {
                let commit = built.map(|built| built.revision.clone()).or_else(|| base.as_ref().map(|base| base.revision.clone()));
                let purpose = Purpose {
                    deployment: Some(row.id),
                    release: u64::try_from(version).ok(),
                    commit,
                    branch: facts.branch(row),
                    ..Purpose::default()
                };
                let resolved = self.resolve_variables(row.organization_id, row.service_id, &purpose).await?;
                // Settings were read before the variables: a change in between is not in this release.
                revision_frozen = resolved.revision.min(facts.service.revision);
                let frozen = Frozen {
                    values: resolved.values.iter().map(|(name, value)| (name.clone(), value.reveal().clone())).collect(),
                    files: resolved.files.iter().map(|(name, content)| (name.clone(), content.reveal().clone())).collect(),
                    masks: resolved.masks.iter().map(|mask| mask.reveal().clone()).collect(),
                };
                let text = Secret::new(serde_json::to_string(&frozen).map_err(anyhow::Error::new)?);
                (
                    self.keys().seal(self.store(), &place, &text).await?,
                    store::Json(serde_json::json!(resolved.values.keys().collect::<Vec<_>>())),
                )
            }
        };
        let rollback = base.as_ref().filter(|_| row.target_release_id.is_some());
        let (image, image_bytes, revision, subject, author) = match (built, &base) {
            (Some(built), _) => (
                built.image.clone(),
                i64::try_from(built.size_bytes).unwrap_or(0),
                built.revision.clone(),
                built.commit_subject.clone(),
                built.commit_author.clone(),
            ),
            (None, Some(base)) => {
                (base.image.clone(), base.image_bytes, base.revision.clone(), base.commit_subject.clone(), base.commit_author.clone())
            }
            (None, None) => {
                return Err(ControlError::refused(contract::Code::Conflict, "There is no image yet: the service was never built."));
            }
        };
        let mut configuration = rollback.map_or_else(|| facts.service.configuration.0.clone(), |target| target.configuration.0.clone());
        if let Some(port) = built.filter(|_| configuration.port == 0).and_then(|built| built.exposed_ports.first().copied()) {
            configuration.port = port;
        }
        let release = ReleaseRow {
            id,
            organization_id: row.organization_id,
            service_id: row.service_id,
            version,
            deployment_id: row.id,
            reason: reason(row, &revision, rollback),
            image,
            image_bytes,
            image_kept: true,
            revision,
            commit_subject: subject,
            commit_author: author,
            configuration: store::Json(configuration),
            sealed_variables: sealed,
            variable_names: names,
            hosts: store::Json(hosts_of(facts, rollback)),
            service_revision: revision_frozen,
            rolled_back_to: rollback.map(|target| target.version),
            irreversible: false,
            author_name: row.author_name.clone(),
            created_at: now,
            served_at: None,
        };
        let mut write = self.store().write().await?;
        lease.check(&mut write).await?;
        store::releases::insert(&mut write, &release).await?;
        store::deployments::set_release(&mut write, row.id, id).await?;
        write.commit_without_audit("the deployment that made the release is in the audit log").await?;
        Ok(release)
    }

    /// The release whose image is used: the target of a rollback, else the one that serves.
    async fn base(&self, row: &DeploymentRow, facts: &ServiceFacts) -> Result<Option<ReleaseRow>> {
        let id = row.target_release_id.or(facts.service.current_release_id);
        match id {
            Some(id) => Ok(store::releases::find(&mut self.store().read().await?, row.organization_id, id).await?),
            None => Ok(None),
        }
    }

    /// What the server is asked to run for a release.
    pub(crate) async fn desired(&self, facts: &ServiceFacts, release: &ReleaseRow) -> Result<Desired> {
        let frozen = self.frozen(release).await?;
        let configuration = &release.configuration.0;
        let mounts = configuration
            .mounts
            .iter()
            .map(|mount| match mount {
                Mount::Volume { volume, path, read_only } => {
                    DesiredMount::Volume { volume: *volume, path: path.clone(), read_only: *read_only }
                }
                Mount::File { path, file } => {
                    let content = frozen.files.get(file).cloned().unwrap_or_default();
                    DesiredMount::File { path: path.clone(), content: Secret::new(content) }
                }
                Mount::Tmpfs { path, size_bytes } => DesiredMount::Tmpfs { path: path.clone(), size_bytes: *size_bytes },
                Mount::Bind { host_path, path, read_only } => {
                    DesiredMount::Bind { host_path: host_path.clone(), path: path.clone(), read_only: *read_only }
                }
            })
            .collect();
        Ok(Desired {
            service: release.service_id,
            environment: facts.environment.id,
            alias: facts.service.slug.clone(),
            release: release.id,
            version: u64::try_from(release.version).unwrap_or(0),
            image: release.image.clone(),
            processes: configuration
                .processes
                .iter()
                .map(|process| DesiredProcess {
                    name: process.name.clone(),
                    command: process.command.clone(),
                    replicas: process.replicas,
                    limits: process.limits.clone(),
                })
                .collect(),
            variables: frozen.variables(),
            port: configuration.port,
            health: configuration.health.clone(),
            mounts,
            stop_grace_seconds: configuration.stop_grace_seconds,
            drain_seconds: configuration.drain_seconds,
            read_only_root: configuration.read_only_root,
            engine: configuration.engine.clone(),
            // Frozen with the release; a domain that was given up since belongs to somebody else by now.
            hosts: release.hosts.0.iter().filter(|host| facts.hosts.contains(host)).cloned().collect(),
            request_body_bytes_max: configuration.request_body_bytes_max,
            request_timeout_seconds: configuration.request_timeout_seconds,
            masks: frozen.masks(),
        })
    }

    /// The variables of a release.
    pub(crate) async fn frozen(&self, release: &ReleaseRow) -> Result<Frozen> {
        let place = sealed_place(release.organization_id.uuid(), release.id);
        let text = self.keys().open(self.store(), &place, &release.sealed_variables).await?;
        serde_json::from_str(text.reveal()).map_err(|error| ControlError::Internal(anyhow::Error::new(error)))
    }
}

fn sealed_place(tenant: uuid::Uuid, release: ReleaseId) -> Place<'static> {
    Place { tenant, table: "releases", column: "sealed_variables", row: release.uuid(), name: "" }
}

/// The hosts of a new release: those of now, or for a rollback those of then that the service still has. The generated one
/// is always among them.
fn hosts_of(facts: &ServiceFacts, rollback: Option<&ReleaseRow>) -> Vec<String> {
    let Some(target) = rollback else { return facts.hosts.clone() };
    let then = |host: &&String| target.hosts.0.contains(host);
    facts.hosts.iter().take(1).chain(facts.hosts.iter().skip(1).filter(then)).cloned().collect()
}

fn reason(row: &DeploymentRow, revision: &str, rollback: Option<&ReleaseRow>) -> String {
    let short: String = revision.trim_start_matches("sha256:").chars().take(7).collect();
    match (rollback, &row.title, row.trigger_kind) {
        (Some(target), _, _) => format!("Rollback to v{}", target.version),
        (None, Some(title), _) => title.clone(),
        (None, None, Trigger::Configuration) => "Configuration changed".to_owned(),
        (None, None, _) => format!("Deploy {short}"),
    }
}

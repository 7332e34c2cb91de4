//! Freezes a release: image, configuration, variables and hosts under the next number. Three ways lead to one:
//!
//! - a build or a change of settings takes what the service has now;
//! - a rollback takes all of an earlier release;
//! - a formation takes all of the release that serves, but other numbers of replicas.

use deployer::protocol::Built;
use domain::deployment::Trigger;
use domain::id::{Id, ReleaseId};
use domain::service::Configuration;
use jobs::Lease;
use serde_json::{Map, Value, json};
use store::Json;
use store::deployments::{DeploymentRow, Formation};
use store::releases::ReleaseRow;

use super::facts::ServiceFacts;
use super::frozen::{Frozen, Reader};
use crate::error::{ControlError, Result};
use crate::state::Control;
use crate::variables::{Purpose, ResolvedVariables};

/// What a new release is made of.
pub(super) struct Ingredients<'a> {
    pub row: &'a DeploymentRow,
    pub facts: &'a ServiceFacts,
    /// The image that was built, or none when an earlier release's is used.
    pub built: Option<&'a Built>,
}

/// Variables as a release keeps them.
struct Kept {
    sealed: Vec<u8>,
    names: Json<Value>,
    /// The service's revision that is frozen.
    revision: i64,
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
        let rollback = base.as_ref().filter(|_| row.target_release_id.is_some());
        if let Some(target) = rollback.filter(|target| !target.image_kept) {
            let detail = format!("The image of v{} is not kept any more: it was removed while the rollback waited.", target.version);
            return Err(ControlError::refused(contract::Code::Conflict, detail));
        }
        let formation = row.formation.as_ref().map(|formation| &formation.0);
        let copied = base.as_ref().filter(|_| rollback.is_some() || formation.is_some());
        let mut configuration = copied.map_or_else(|| facts.service.configuration.0.clone(), |base| base.configuration.0.clone());
        if let (Some(formation), Some(base)) = (formation, copied) {
            super::formation::form(&mut configuration, formation, base.version)?;
        }
        let port = port_of(&configuration, *built, base.as_ref());
        configuration.port = Some(port);
        let now = self.clock().now();
        let id = ReleaseId::new(self.clock(), self.entropy());
        let version = store::releases::next_version(&mut self.store().read().await?, row.service_id).await?;
        let kept = match copied {
            Some(base) => self.keep(row, base, id, formation).await?,
            None => self.gather(&ingredients, base.as_ref(), id, (version, port)).await?,
        };
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
            configuration: Json(configuration),
            sealed_variables: kept.sealed,
            variable_names: kept.names,
            hosts: Json(hosts_of(facts, copied)),
            service_revision: kept.revision,
            rolled_back_to: rollback.map(|target| target.version),
            irreversible: false,
            destructive: None,
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

    /// The variables of another release, sealed anew for the new row.
    async fn keep(&self, row: &DeploymentRow, base: &ReleaseRow, id: ReleaseId, formation: Option<&Formation>) -> Result<Kept> {
        let frozen = self.frozen(base, Reader::Deployment(row.id)).await?;
        Ok(Kept {
            sealed: self.seal_frozen(row.organization_id.uuid(), id, &frozen).await?,
            names: base.variable_names.clone(),
            // After a rollback the service's own settings are others: they are a draft.
            revision: formation.map_or(0, |formation| formation.revision_after(base.service_revision)),
        })
    }

    /// The variables that the service has now.
    async fn gather(
        &self,
        ingredients: &Ingredients<'_>,
        base: Option<&ReleaseRow>,
        id: ReleaseId,
        (version, port): (i64, u16),
    ) -> Result<Kept> {
        let Ingredients { row, facts, built } = ingredients;
        let commit = built.map(|built| built.revision.clone()).or_else(|| base.map(|base| base.revision.clone()));
        let purpose = Purpose {
            deployment: Some(row.id),
            release: u64::try_from(version).ok(),
            commit,
            branch: facts.branch(row),
            port: Some(port),
            ..Purpose::default()
        };
        let resolved = self.resolve_variables(row.organization_id, row.service_id, &purpose).await?;
        Ok(Kept {
            sealed: self.seal_frozen(row.organization_id.uuid(), id, &Frozen::of(&resolved)).await?,
            names: Json(noted(&resolved)),
            // Settings were read before the variables: a change in between is not in this release.
            revision: resolved.revision.min(facts.service.revision),
        })
    }

    /// The release whose image is used: the target of a rollback, else the one that serves.
    async fn base(&self, row: &DeploymentRow, facts: &ServiceFacts) -> Result<Option<ReleaseRow>> {
        let id = row.target_release_id.or(facts.service.current_release_id);
        match id {
            Some(id) => Ok(store::releases::find(&mut self.store().read().await?, row.organization_id, id).await?),
            None => Ok(None),
        }
    }
}

/// Names and versions, never a value: `{"A": {"version": 2, "id": "…"}, "PORT": null}`; null for what Seaway itself sets.
fn noted(resolved: &ResolvedVariables) -> Value {
    let note = |name: &String| match (resolved.versions.get(name), resolved.version_ids.get(name)) {
        (Some(version), Some(id)) => json!({ "version": version, "id": id }),
        _ => Value::Null,
    };
    Value::Object(resolved.values.keys().map(|name| (name.clone(), note(name))).collect::<Map<_, _>>())
}

/// Without a build the image is that of the release before, and so is the port that it says.
fn port_of(configuration: &Configuration, built: Option<&Built>, base: Option<&ReleaseRow>) -> u16 {
    match (built, base.and_then(|base| base.configuration.0.port)) {
        (None, Some(before)) => configuration.port.unwrap_or(before),
        (built, _) => configuration.port_of(built.map_or(&[], |built| &built.exposed_ports)),
    }
}

/// The hosts of a new release: those of now, or those of the release that is copied that the service still has. The generated
/// one is always among them.
fn hosts_of(facts: &ServiceFacts, copied: Option<&ReleaseRow>) -> Vec<String> {
    let Some(base) = copied else { return facts.hosts.clone() };
    let then = |host: &&String| base.hosts.0.contains(host);
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

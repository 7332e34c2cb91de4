//! The variables of a release: sealed as one text, opened for whoever starts a replica of it, and that noted.

use std::collections::{BTreeMap, BTreeSet};

use domain::Secret;
use domain::id::{DeploymentId, Id, ReleaseId, RunId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::audit;
use store::releases::ReleaseRow;
use vault::Place;

use crate::error::Result;
use crate::state::Control;
use crate::variables::ResolvedVariables;

/// Names listed in an audit entry.
const AUDITED_NAMES_MAX: usize = 200;

/// The variables of a release as they are sealed: every value, and which of them must not be shown.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct Frozen {
    values: BTreeMap<String, String>,
    /// Managed files, by name.
    files: BTreeMap<String, String>,
    masks: Vec<String>,
    /// Names of the hidden variables and files. Empty in releases of older versions.
    #[serde(default)]
    hidden: BTreeSet<String>,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for value in self.values.values_mut().chain(self.files.values_mut()).chain(&mut self.masks) {
            zeroize::Zeroize::zeroize(value);
        }
    }
}

impl Frozen {
    pub fn of(resolved: &ResolvedVariables) -> Self {
        let shown = |values: &BTreeMap<String, Secret<String>>| {
            values.iter().map(|(name, value)| (name.clone(), value.reveal().clone())).collect::<BTreeMap<_, _>>()
        };
        Self {
            values: shown(&resolved.values),
            files: shown(&resolved.files),
            masks: resolved.masks.iter().map(|mask| mask.reveal().clone()).collect(),
            hidden: resolved.hidden.iter().cloned().chain(resolved.hidden_files.iter().map(|name| format!("file {name}"))).collect(),
        }
    }

    /// Content of a managed file; empty for one that is not there.
    pub fn file(&self, name: &str) -> Secret<String> {
        Secret::new(self.files.get(name).cloned().unwrap_or_default())
    }

    /// How many hidden values are in it.
    fn secrets(&self) -> usize {
        if self.hidden.is_empty() { self.masks.len() } else { self.hidden.len() }
    }
    pub fn variables(&self) -> BTreeMap<String, Secret<String>> {
        self.values.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect()
    }

    /// Values to be masked in every log.
    pub fn masks(&self) -> Vec<Secret<String>> {
        self.masks.iter().map(|value| Secret::new(value.clone())).collect()
    }
}

/// Who opens the variables of a release.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reader {
    Deployment(DeploymentId),
    Run(RunId),
}

impl Control {
    /// Seals variables for a release that is made.
    pub(super) async fn seal_frozen(&self, tenant: uuid::Uuid, release: ReleaseId, frozen: &Frozen) -> Result<Vec<u8>> {
        let text = Secret::new(serde_json::to_string(frozen).map_err(anyhow::Error::new)?);
        self.keys().seal(self.store(), &sealed_place(tenant, release), &text).await
    }

    /// The variables of a release. The secret-read log says who got them, unless the deployment made the release from the
    /// service's variables just before: that read is noted there already.
    pub(crate) async fn frozen(&self, release: &ReleaseRow, reader: Reader) -> Result<Frozen> {
        let place = sealed_place(release.organization_id.uuid(), release.id);
        let text = self.keys().open(self.store(), &place, &release.sealed_variables).await?;
        let frozen: Frozen = serde_json::from_str(text.reveal()).map_err(anyhow::Error::new)?;
        let noted = matches!(reader, Reader::Deployment(id) if id == release.deployment_id);
        if !noted && frozen.secrets() > 0 {
            self.note_frozen_read(release, reader, &frozen).await?;
        }
        Ok(frozen)
    }

    async fn note_frozen_read(&self, release: &ReleaseRow, reader: Reader, frozen: &Frozen) -> Result<()> {
        let (part, deployment, run) = match reader {
            Reader::Deployment(id) => ("deployment", Some(id), None),
            Reader::Run(id) => ("run", None, Some(id)),
        };
        let noted = crate::releases::noted_variables(&release.variable_names.0);
        let versions: BTreeMap<&String, Option<i64>> =
            frozen.hidden.iter().take(AUDITED_NAMES_MAX).map(|name| (name, noted.get(name).and_then(|noted| noted.version))).collect();
        let record = audit::Record {
            resource: Some(audit::Resource { kind: "service", id: release.service_id.to_string(), name: None }),
            details: json!({
                "deployment": deployment,
                "run": run,
                "release": format!("v{}", release.version),
                "count": frozen.secrets(),
                "versions": versions,
            }),
            ..audit::Record::new(audit::Chain::Organization(release.organization_id), audit::Actor::system(part), "variables.read")
        };
        let mut write = self.store().write().await?;
        audit::append(&mut write, self.clock(), self.entropy(), record).await?;
        Ok(write.commit().await?)
    }
}

fn sealed_place(tenant: uuid::Uuid, release: ReleaseId) -> Place<'static> {
    Place { tenant, table: "releases", column: "sealed_variables", row: release.uuid(), name: "" }
}

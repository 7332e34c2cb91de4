//! What a release gets: levels and references put together, files, and a note in the audit log about every hidden value read.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use contract::FieldError;
use domain::Secret;
use domain::id::{DeploymentId, Id, OrganizationId, RunId, ServiceId};
use domain::service::PORT_DEFAULT;
use domain::variables::{Found, Lookup, LookupError, Owner, resolve};
use serde_json::json;
use store::services::ServiceRow;
use store::variables::{CurrentRow, ScopeKind};
use store::{audit, environments, projects, releases, services, variables};
use vault::{KeyRing, Sealed};

use crate::error::{ControlError, Result};
use crate::state::Control;

/// Names listed in an audit entry.
const AUDITED_NAMES_MAX: usize = 200;

/// What the values are for.
#[derive(Debug, Clone, Default)]
pub struct Purpose {
    pub deployment: Option<DeploymentId>,
    pub run: Option<RunId>,
    /// Number of the release that is made.
    pub release: Option<u64>,
    pub commit: Option<String>,
    pub branch: Option<String>,
    /// Port of the release that is made, where the image decides it.
    pub port: Option<u16>,
}

/// Everything that the containers of a service get.
#[derive(Debug, Default)]
pub struct ResolvedVariables {
    pub values: BTreeMap<String, Secret<String>>,
    /// Every value that must not appear in a log: hidden values and what they flowed into.
    pub masks: Vec<Secret<String>>,
    /// `project`, `environment`, `service` or `seaway`, by name.
    pub sources: BTreeMap<String, String>,
    /// Number of the variable's version, by name; without those that Seaway sets.
    pub versions: BTreeMap<String, i64>,
    /// The version's row, by name: a variable that was deleted and set anew begins again with version 1.
    pub version_ids: BTreeMap<String, uuid::Uuid>,
    /// Names of the variables whose values are hidden.
    pub hidden: BTreeSet<String>,
    /// Content of the service's managed files, by name.
    pub files: BTreeMap<String, Secret<String>>,
    /// Names of the files whose content is hidden.
    pub hidden_files: BTreeSet<String>,
    /// Slugs of the services that values refer to: deploy them first.
    pub services: BTreeSet<String>,
    /// The service's revision that was read; give it to `services::set_released`.
    pub revision: i64,
}

impl Control {
    /// Puts a service's variables together for a release, a one-off command or a build.
    ///
    /// # Errors
    /// `Invalid` with every variable that cannot be resolved, by name; `Sealed`; `NotFound`.
    pub async fn resolve_variables(
        &self,
        organization: OrganizationId,
        service: ServiceId,
        purpose: &Purpose,
    ) -> Result<ResolvedVariables> {
        self.keys().ready(self.store(), organization.uuid()).await?;
        let rows = self.read_levels(organization, service, purpose).await?;
        let lookup = Opened { rows: &rows, ring: self.keys().ring(), organization, opened: RefCell::default() };
        let resolved = resolve(&rows.slug, &lookup).map_err(|errors| {
            let field = |error: &domain::variables::ResolveError| FieldError::new("/variables", "unresolved", error.to_string());
            ControlError::Invalid(errors.iter().map(field).collect())
        })?;
        let mut answer =
            ResolvedVariables { services: resolved.services, revision: rows.revision, masks: resolved.masks, ..Default::default() };
        for (name, resolved) in resolved.values {
            if resolved.hidden {
                answer.hidden.insert(name.clone());
                answer.masks.push(resolved.value.clone());
            }
            if let Some(row) = rows.row(&resolved.owner, &name) {
                answer.versions.insert(name.clone(), row.version);
                answer.version_ids.insert(name.clone(), row.version_id);
            }
            let source = match resolved.owner {
                Owner::Project => "project",
                Owner::Environment => "environment",
                Owner::Service(_) => "service",
                Owner::BuiltIn(_) => "seaway",
            };
            answer.sources.insert(name.clone(), source.to_owned());
            answer.values.insert(name, resolved.value);
        }
        for file in &rows.files {
            let content = lookup.open(&format!("file {}", file.name), file).map_err(|error| ControlError::Sealed(error.0))?;
            if file.kind.is_hidden() {
                answer.masks.push(content.clone());
                answer.hidden_files.insert(file.name.clone());
            }
            answer.files.insert(file.name.clone(), content);
        }
        answer.masks.retain(|mask| !mask.reveal().is_empty());
        let opened = lookup.opened.into_inner();
        self.note_reads(organization, service, purpose, &opened).await?;
        Ok(answer)
    }

    /// The secret-read log: which deployment read which value, in which version, when.
    async fn note_reads(
        &self,
        organization: OrganizationId,
        service: ServiceId,
        purpose: &Purpose,
        opened: &BTreeMap<String, i64>,
    ) -> Result<()> {
        if opened.is_empty() {
            return Ok(());
        }
        let mut write = self.store().write().await?;
        let part = if purpose.run.is_some() { "run" } else { "deployment" };
        let names: BTreeMap<&String, &i64> = opened.iter().take(AUDITED_NAMES_MAX).collect();
        let record = audit::Record {
            resource: Some(audit::Resource { kind: "service", id: service.to_string(), name: None }),
            details: json!({
                "deployment": purpose.deployment.map(|id| id.to_string()),
                "run": purpose.run.map(|id| id.to_string()),
                "count": opened.len(),
                "versions": names,
            }),
            ..audit::Record::new(audit::Chain::Organization(organization), audit::Actor::system(part), "variables.read")
        };
        audit::append(&mut write, self.clock(), self.entropy(), record).await?;
        Ok(write.commit().await?)
    }

    async fn read_levels(&self, organization: OrganizationId, id: ServiceId, purpose: &Purpose) -> Result<Levels> {
        let mut read = self.store().read().await?;
        let service = services::find(&mut read, organization, id).await?.ok_or(ControlError::NotFound("service"))?;
        let project = projects::find(&mut read, organization, service.project_id).await?.ok_or(ControlError::NotFound("project"))?;
        let environment =
            environments::find(&mut read, organization, service.environment_id).await?.ok_or(ControlError::NotFound("environment"))?;
        let neighbours = services::all_of_environment(&mut read, organization, service.environment_id).await?;
        let mut levels = Levels {
            slug: service.slug.clone(),
            revision: service.revision,
            slugs: neighbours.iter().map(|service| service.slug.clone()).collect(),
            ..Levels::default()
        };
        let mut wanted: BTreeSet<String> = BTreeSet::from([service.slug.clone()]);
        let of_project = variables::all_of_scope(&mut read, organization, ScopeKind::Project, project.id.uuid()).await?;
        levels.add(Owner::Project, of_project, &mut wanted);
        let of_environment = variables::all_of_scope(&mut read, organization, ScopeKind::Environment, environment.id.uuid()).await?;
        levels.add(Owner::Environment, of_environment, &mut wanted);
        // Only the services that are referred to, directly or through others.
        let mut done: BTreeSet<String> = BTreeSet::new();
        while let Some(slug) = wanted.difference(&done).next().cloned() {
            done.insert(slug.clone());
            let Some(row) = neighbours.iter().find(|row| row.slug == slug) else { continue };
            let of_service = variables::all_of_scope(&mut read, organization, ScopeKind::Service, row.id.uuid()).await?;
            levels.add(Owner::Service(slug.clone()), of_service, &mut wanted);
            let shown = Shown { project: &project.slug, environment: &environment.slug };
            let purpose = (row.id == id).then_some(purpose);
            // Where the image decides, the release that serves knows.
            let port = match (row.configuration.0.port.or(purpose.and_then(|purpose| purpose.port)), row.current_release_id) {
                (None, Some(release)) => {
                    releases::find(&mut read, organization, release).await?.and_then(|release| release.configuration.0.port)
                }
                (port, _) => port,
            };
            levels.built_in.insert(slug, self.built_in(row, port.unwrap_or(PORT_DEFAULT), &shown, purpose));
        }
        levels.files = variables::all_of_scope(&mut read, organization, ScopeKind::File, id.uuid()).await?;
        Ok(levels)
    }

    /// What Seaway knows about a service. `purpose` for the one that the values are for.
    fn built_in(&self, service: &ServiceRow, port: u16, shown: &Shown<'_>, purpose: Option<&Purpose>) -> BTreeMap<String, String> {
        let url = self.generated_url(&service.app_name);
        let mut values = BTreeMap::from([
            ("HOST".to_owned(), service.slug.clone()),
            ("PORT".to_owned(), port.to_string()),
            ("URL".to_owned(), format!("http://{}:{port}", service.slug)),
            ("SEAWAY_SERVICE".to_owned(), service.slug.clone()),
            ("SEAWAY_ENVIRONMENT".to_owned(), shown.environment.to_owned()),
            ("SEAWAY_PROJECT".to_owned(), shown.project.to_owned()),
            ("SEAWAY_URL".to_owned(), url),
        ]);
        if let Some(purpose) = purpose {
            let known = [
                ("SEAWAY_DEPLOYMENT_ID", purpose.deployment.map(|id| id.to_string())),
                ("SEAWAY_RELEASE", purpose.release.map(|number| format!("v{number}"))),
                ("SEAWAY_COMMIT", purpose.commit.clone()),
                ("SEAWAY_BRANCH", purpose.branch.clone()),
            ];
            values.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        values
    }

    /// Address of a service under the instance's base domain.
    pub fn generated_url(&self, app_name: &str) -> String {
        self.url_of(&self.generated_host(app_name))
    }

    /// Host of a service under the instance's base domain.
    pub fn generated_host(&self, app_name: &str) -> String {
        format!("{app_name}.{}", self.config().base_domain)
    }

    /// Address of a host that the ingress serves.
    pub fn url_of(&self, host: &str) -> String {
        let config = self.config();
        let (scheme, usual) = if config.ingress_https { ("https", 443) } else { ("http", 80) };
        if config.ingress_public_port == usual {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{}", config.ingress_public_port)
        }
    }
}

struct Shown<'a> {
    project: &'a str,
    environment: &'a str,
}

/// Rows of all levels that are needed.
#[derive(Default)]
struct Levels {
    slug: String,
    revision: i64,
    slugs: BTreeSet<String>,
    rows: BTreeMap<Owner, BTreeMap<String, CurrentRow>>,
    built_in: BTreeMap<String, BTreeMap<String, String>>,
    files: Vec<CurrentRow>,
}

impl Levels {
    fn add(&mut self, owner: Owner, rows: Vec<CurrentRow>, wanted: &mut BTreeSet<String>) {
        for row in &rows {
            wanted.extend(row.refers_to.0.iter().cloned());
        }
        self.rows.insert(owner, rows.into_iter().map(|row| (row.name.clone(), row)).collect());
    }

    fn row(&self, owner: &Owner, name: &str) -> Option<&CurrentRow> {
        self.rows.get(owner)?.get(name)
    }
}

/// The rows as values; hidden ones are opened when they are asked for, and remembered for the audit log.
struct Opened<'a> {
    rows: &'a Levels,
    ring: &'a KeyRing,
    organization: OrganizationId,
    opened: RefCell<BTreeMap<String, i64>>,
}

impl Opened<'_> {
    fn open(&self, label: &str, row: &CurrentRow) -> std::result::Result<Secret<String>, LookupError> {
        if let Some(plain) = &row.plain_value {
            return Ok(Secret::new(plain.clone()));
        }
        let bytes = row.sealed_value.clone().unwrap_or_default();
        let opened =
            Sealed::from_bytes(bytes).and_then(|sealed| self.ring.open_text(&sealed, &super::place(self.organization, row.version_id)));
        self.opened.borrow_mut().insert(label.to_owned(), row.version);
        opened.map_err(|error| LookupError(error.to_string()))
    }
}

impl Lookup for Opened<'_> {
    fn find(&self, owner: &Owner, name: &str) -> std::result::Result<Option<Found>, LookupError> {
        if let Owner::BuiltIn(slug) = owner {
            let value = self.rows.built_in.get(slug).and_then(|values| values.get(name));
            return Ok(value.map(|value| Found { value: Secret::new(value.clone()), kind: domain::variables::VariableKind::Plain }));
        }
        let Some(row) = self.rows.row(owner, name) else { return Ok(None) };
        let label = match owner {
            Owner::Project => format!("project.{name}"),
            Owner::Environment => format!("environment.{name}"),
            Owner::Service(slug) | Owner::BuiltIn(slug) => format!("{slug}.{name}"),
        };
        Ok(Some(Found { value: self.open(&label, row)?, kind: row.kind }))
    }

    fn names(&self, owner: &Owner) -> Vec<String> {
        match owner {
            Owner::BuiltIn(slug) => {
                let values = self.rows.built_in.get(slug);
                values.into_iter().flat_map(BTreeMap::keys).filter(|name| !matches!(name.as_str(), "HOST" | "URL")).cloned().collect()
            }
            _ => self.rows.rows.get(owner).into_iter().flat_map(BTreeMap::keys).cloned().collect(),
        }
    }

    fn has_service(&self, slug: &str) -> bool {
        self.rows.slugs.contains(slug)
    }
}

//! Changes of a level: one unit with new versions, removals, the releases that follow, and one audit entry with names.

use std::collections::BTreeSet;

use contract::FieldError;
use contract::variables::{ChangeVariables, ImportVariables, ReplaceVariables, SetVariable, VariablesChanged};
use domain::Secret;
use domain::id::{Id, VariableId};
use domain::permission::Permission;
use domain::variables::{ENVIRONMENT_VARIABLES_MAX, VariableKind, check_file_name, check_name, check_value, parse, services_of};
use store::variables::{self, CurrentRow, ScopeKind, VariableRow, VersionRow};
use store::{Json, StoreError};

use super::place;
use super::scope::Scope;
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::named::{matches, unsigned};
use crate::state::Control;

/// Changes of one request.
const CHANGES_MAX: usize = 1_000;
const AUDITED_NAMES_MAX: usize = 200;

/// What is to be done, checked and sealed.
struct Prepared {
    inserts: Vec<(VariableRow, VersionRow)>,
    versions: Vec<(VersionRow, Vec<String>)>,
    removals: Vec<String>,
    told: VariablesChanged,
}

impl Control {
    /// Sets and unsets several at once.
    ///
    /// # Errors
    /// `invalid` with a pointer for each fault, `precondition-failed`, `limit-exceeded`.
    pub async fn change_variables(
        &self,
        actor: &Actor,
        if_match: Option<&str>,
        wanted: ChangeVariables,
        deploy: bool,
    ) -> Result<VariablesChanged> {
        let scope = Scope::of(actor)?;
        self.change(actor, scope, if_match, false, wanted.set, wanted.unset, "/set", deploy).await
    }

    /// Replaces the whole level. A variable that is named without a value keeps it.
    ///
    /// # Errors
    /// `precondition-required`, and those of [`Control::change_variables`].
    pub async fn replace_variables(
        &self,
        actor: &Actor,
        if_match: Option<&str>,
        wanted: ReplaceVariables,
        deploy: bool,
    ) -> Result<VariablesChanged> {
        let scope = Scope::of(actor)?;
        let present = variables::all_of_scope(&mut self.store().read().await?, scope.organization, scope.kind, scope.id).await?;
        let named: BTreeSet<&str> = wanted.variables.iter().map(|variable| variable.name.as_str()).collect();
        let mut faults = Vec::new();
        for (at, variable) in wanted.variables.iter().enumerate() {
            if variable.value.is_none() && present.iter().all(|row| row.name != variable.name) {
                faults.push(FieldError::new(format!("/variables/{at}/value"), "required", "a new variable needs a value"));
            }
        }
        if !faults.is_empty() {
            return Err(ControlError::Invalid(faults));
        }
        let unset = present.iter().filter(|row| !named.contains(row.name.as_str())).map(|row| row.name.clone()).collect();
        let set = wanted
            .variables
            .into_iter()
            .filter_map(|variable| Some(SetVariable { name: variable.name, kind: variable.kind, value: variable.value? }))
            .collect();
        self.change(actor, scope, if_match, true, set, unset, "/variables", deploy).await
    }

    /// Takes a `.env` text in. With `dry_run` it only tells what would change.
    ///
    /// # Errors
    /// `invalid` with every line that cannot be read.
    pub async fn import_variables(&self, actor: &Actor, wanted: ImportVariables, dry_run: bool, deploy: bool) -> Result<VariablesChanged> {
        actor.require(Permission::VariablesWrite)?;
        let scope = Scope::of(actor)?;
        let pairs = parse(wanted.text.reveal()).map_err(|errors| {
            ControlError::Invalid(errors.into_iter().map(|error| FieldError::new("/text", "invalid", error.to_string())).collect())
        })?;
        let present = variables::all_of_scope(&mut self.store().read().await?, scope.organization, scope.kind, scope.id).await?;
        let unset: Vec<String> = match wanted.replace {
            true => present.iter().filter(|row| pairs.iter().all(|(name, _)| *name != row.name)).map(|row| row.name.clone()).collect(),
            false => Vec::new(),
        };
        let kind_of = |name: &str| if present.iter().any(|row| row.name == name) { None } else { wanted.kind };
        let set: Vec<SetVariable> =
            pairs.into_iter().map(|(name, value)| SetVariable { kind: kind_of(&name), name, value: Secret::new(value) }).collect();
        if dry_run {
            let prepared = self.prepare(actor, scope, &present, set, unset, "/text").await?;
            return Ok(prepared.told);
        }
        self.change(actor, scope, None, false, set, unset, "/text", deploy).await
    }

    /// Sets one managed file of a service.
    pub async fn set_file(
        &self,
        actor: &Actor,
        name: &str,
        kind: Option<VariableKind>,
        value: Secret<String>,
        deploy: bool,
    ) -> Result<VariablesChanged> {
        let set = vec![SetVariable { name: name.to_owned(), kind, value }];
        self.change(actor, Scope::files(actor)?, None, false, set, Vec::new(), "", deploy).await
    }

    /// Removes one managed file of a service.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn unset_file(&self, actor: &Actor, name: &str, deploy: bool) -> Result<VariablesChanged> {
        self.change(actor, Scope::files(actor)?, None, false, Vec::new(), vec![name.to_owned()], "", deploy).await
    }

    #[expect(clippy::too_many_arguments, reason = "one road for every kind of change")]
    pub(super) async fn change(
        &self,
        actor: &Actor,
        scope: Scope,
        if_match: Option<&str>,
        match_required: bool,
        set: Vec<SetVariable>,
        unset: Vec<String>,
        pointer: &str,
        deploy: bool,
    ) -> Result<VariablesChanged> {
        actor.require(Permission::VariablesWrite)?;
        let present = variables::all_of_scope(&mut self.store().read().await?, scope.organization, scope.kind, scope.id).await?;
        let Prepared { inserts, versions, removals, mut told } = self.prepare(actor, scope, &present, set, unset, pointer).await?;
        let mut write = self.store().write().await?;
        write.exclusive(&format!("variables/{}", scope.id)).await?;
        let version = variables::set_version(&mut write, scope.organization, scope.kind, scope.id).await?;
        matches(if_match, version, match_required)?;
        if told.added.is_empty() && told.changed.is_empty() && told.removed.is_empty() {
            return Ok(told);
        }
        if !inserts.is_empty() {
            let count = self.count_with_other_levels(&mut write, actor, scope).await?;
            let max = ENVIRONMENT_VARIABLES_MAX as u64;
            if count + inserts.len() as u64 > max {
                let name =
                    if scope.kind == ScopeKind::File { "files of the service" } else { "variables of a service with those it inherits" };
                return Err(ControlError::Limit { name, current: count, max });
            }
        }
        for (variable, version) in &inserts {
            variables::insert(&mut write, variable).await.map_err(raced)?;
            variables::insert_version(&mut write, version).await.map_err(raced)?;
        }
        for (version, refers_to) in versions {
            variables::insert_version(&mut write, &version).await.map_err(raced)?;
            variables::set_current(
                &mut write,
                scope.organization,
                version.variable_id,
                version.version,
                version.kind,
                refers_to,
                version.created_at,
            )
            .await?;
        }
        for name in &removals {
            variables::delete(&mut write, scope.organization, scope.kind, scope.id, name).await?;
        }
        let title = title(scope, &told);
        told.deployments = self.changed(&mut write, actor, scope.reach, deploy, &title).await?.iter().map(ToString::to_string).collect();
        let cut = |names: &[String]| names.iter().take(AUDITED_NAMES_MAX).cloned().collect::<Vec<_>>();
        let action = if scope.kind == ScopeKind::File { "files.changed" } else { "variables.changed" };
        self.record(actor, action)
            .resource(scope.word, scope.shown_id(), None)
            .detail("added", cut(&told.added))
            .detail("changed", cut(&told.changed))
            .detail("removed", cut(&told.removed))
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(told)
    }

    /// How many variables the service gets that gets most of those whom a change of the scope reaches: a release holds the
    /// variables of its project, environment and service.
    async fn count_with_other_levels(&self, write: &mut store::Write, actor: &Actor, scope: Scope) -> Result<u64> {
        let organization = scope.organization;
        let own = unsigned(variables::count(write, organization, scope.kind, scope.id).await?);
        if scope.kind == ScopeKind::File {
            return Ok(own);
        }
        let project = actor.project()?;
        let mut count = unsigned(variables::count(write, organization, ScopeKind::Project, project.uuid()).await?);
        let environments = match actor.located.environment {
            Some(environment) => vec![environment],
            None => store::environments::all_of_project(write, organization, project).await?.into_iter().map(|row| row.id).collect(),
        };
        let mut fullest = 0;
        for environment in environments {
            let level = unsigned(variables::count(write, organization, ScopeKind::Environment, environment.uuid()).await?);
            let below = match scope.kind {
                ScopeKind::Service => own,
                _ => unsigned(variables::count_fullest_service(write, organization, environment.uuid()).await?),
            };
            fullest = fullest.max(level + below);
        }
        count += fullest;
        Ok(count)
    }

    async fn prepare(
        &self,
        actor: &Actor,
        scope: Scope,
        present: &[CurrentRow],
        set: Vec<SetVariable>,
        unset: Vec<String>,
        pointer: &str,
    ) -> Result<Prepared> {
        check_all(scope, present, &set, &unset, pointer)?;
        let mut prepared = Prepared {
            inserts: Vec::new(),
            versions: Vec::new(),
            removals: unset.clone(),
            told: VariablesChanged { removed: unset, ..Default::default() },
        };
        for SetVariable { name, kind, value } in set {
            let known = present.iter().find(|row| row.name == name);
            let kind = kind.or(known.map(|row| row.kind)).unwrap_or(if scope.kind == ScopeKind::File {
                VariableKind::Secret
            } else {
                VariableKind::Plain
            });
            let refers_to = if scope.kind == ScopeKind::File { Vec::new() } else { services_of(value.reveal()) };
            // Hidden values are never compared: the answer would tell who guesses.
            if known.is_some_and(|row| row.kind == kind && row.plain_value.as_deref() == Some(value.reveal().as_str())) {
                prepared.told.unchanged.push(name);
                continue;
            }
            match known {
                Some(row) => {
                    prepared.versions.push((self.new_version(actor, row.id, row.version + 1, kind, &value).await?, refers_to));
                    prepared.told.changed.push(name);
                }
                None => {
                    let id = VariableId::new(self.clock(), self.entropy());
                    let version = self.new_version(actor, id, 1, kind, &value).await?;
                    let now = version.created_at;
                    let variable = VariableRow {
                        id,
                        organization_id: scope.organization,
                        scope_kind: scope.kind,
                        scope_id: scope.id,
                        name: name.clone(),
                        kind,
                        version: 1,
                        refers_to: Json(refers_to),
                        created_at: now,
                        updated_at: now,
                    };
                    prepared.inserts.push((variable, version));
                    prepared.told.added.push(name);
                }
            }
        }
        Ok(prepared)
    }

    /// A version with its value, sealed when it is hidden.
    pub(crate) async fn new_version(
        &self,
        actor: &Actor,
        variable: VariableId,
        number: i64,
        kind: VariableKind,
        value: &Secret<String>,
    ) -> Result<VersionRow> {
        let id = domain::id::uuid_v7(self.clock(), self.entropy());
        let sealed_value = match kind.is_hidden() {
            true => Some(self.keys().seal(self.store(), &place(actor.organization, id), value).await?),
            false => None,
        };
        let (author_kind, author_id) = actor.written_by();
        Ok(VersionRow {
            id,
            organization_id: actor.organization,
            variable_id: variable,
            version: number,
            kind,
            plain_value: (!kind.is_hidden()).then(|| value.reveal().clone()),
            sealed_value,
            size_bytes: i64::try_from(value.reveal().len()).unwrap_or(i64::MAX),
            author_kind,
            author_id,
            created_at: self.clock().now(),
        })
    }
}

fn check_all(scope: Scope, present: &[CurrentRow], set: &[SetVariable], unset: &[String], pointer: &str) -> Result<()> {
    let mut faults = Vec::new();
    if set.len() + unset.len() > CHANGES_MAX {
        return Err(ControlError::invalid(pointer, "too-many", format!("at most {CHANGES_MAX} changes at once")));
    }
    let mut seen = BTreeSet::new();
    for (at, variable) in set.iter().enumerate() {
        let place = if pointer == "/text" || pointer.is_empty() { pointer.to_owned() } else { format!("{pointer}/{at}") };
        let name = if scope.kind == ScopeKind::File { check_file_name(&variable.name) } else { check_name(&variable.name) };
        if let Err(error) = name {
            faults.push(FieldError::new(format!("{place}/name"), "invalid", error.0));
        }
        if let Err(error) = check_value(variable.value.reveal()) {
            faults.push(FieldError::new(format!("{place}/value"), "invalid", error.0));
        }
        if !seen.insert(variable.name.as_str()) || unset.contains(&variable.name) {
            faults.push(FieldError::new(format!("{place}/name"), "duplicate", format!("`{}` is named twice", variable.name)));
        }
    }
    for (at, name) in unset.iter().enumerate() {
        if present.iter().all(|row| row.name != *name) {
            faults.push(FieldError::new(
                format!("/unset/{at}"),
                "not-found",
                format!("there is no `{}` here", name.chars().take(128).collect::<String>()),
            ));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(ControlError::Invalid(faults)) }
}

fn title(scope: Scope, told: &VariablesChanged) -> String {
    let names: Vec<&str> = told.added.iter().chain(&told.changed).chain(&told.removed).map(String::as_str).collect();
    let what = if scope.kind == ScopeKind::File { "Files" } else { "Variables" };
    match names.get(3..) {
        Some(rest) if !rest.is_empty() => {
            format!("{what} changed: {} and {} more", names.iter().take(3).copied().collect::<Vec<_>>().join(", "), rest.len())
        }
        _ => format!("{what} changed: {}", names.join(", ")),
    }
}

/// Somebody else set the same variable at the same time.
fn raced(error: StoreError) -> ControlError {
    match error {
        StoreError::Conflict { .. } => ControlError::refused(
            contract::Code::PreconditionFailed,
            "Somebody changed the variables at the same time. Read them again and repeat the change.",
        ),
        other => other.into(),
    }
}

//! Lists, reveals, export, history.

use contract::Code;
use contract::variables::{
    RestoreVersion, Reveal, RevealedVariable, SetVariable, Variable, VariableSet, VariableVersion, VariableVersions, VariablesChanged,
};
use domain::permission::Permission;
use domain::variables::{VariableKind, check_name, print};
use store::variables::{self, CurrentRow};

use super::scope::Scope;
use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::named::unsigned;
use crate::state::Control;

const REASON_LENGTH_MAX: usize = 500;

fn shown(row: CurrentRow) -> Variable {
    Variable {
        name: row.name,
        kind: row.kind,
        value: row.plain_value,
        size_bytes: unsigned(row.size_bytes),
        version: unsigned(row.version),
        refers_to: row.refers_to.0,
        updated_by: row.author_id,
        updated_at: row.updated_at,
    }
}

impl Control {
    /// Names, kinds and versions of one level; values of plain variables.
    pub async fn list_variables(&self, actor: &Actor) -> Result<VariableSet> {
        actor.require(Permission::VariablesRead)?;
        self.variables_in(Scope::of(actor)?).await
    }

    /// Managed files of the service, like variables.
    pub async fn list_files(&self, actor: &Actor) -> Result<VariableSet> {
        actor.require(Permission::VariablesRead)?;
        self.variables_in(Scope::files(actor)?).await
    }

    async fn variables_in(&self, scope: Scope) -> Result<VariableSet> {
        let mut read = self.store().read().await?;
        let rows = variables::all_of_scope(&mut read, scope.organization, scope.kind, scope.id).await?;
        let version = variables::set_version(&mut read, scope.organization, scope.kind, scope.id).await?;
        Ok(VariableSet { data: rows.into_iter().map(shown).collect(), version })
    }

    async fn variable(&self, scope: Scope, name: &str) -> Result<CurrentRow> {
        if check_name(name).is_err() {
            return Err(ControlError::NotFound("variable"));
        }
        let found = variables::find(&mut self.store().read().await?, scope.organization, scope.kind, scope.id, name).await?;
        found.ok_or(ControlError::NotFound("variable"))
    }

    /// The value of a secret; the password was given again, and the audit log says who read it and why.
    ///
    /// # Errors
    /// `forbidden` for a sealed variable.
    pub async fn reveal_variable(&self, actor: &Actor, name: &str, wanted: &Reveal) -> Result<RevealedVariable> {
        actor.require(Permission::VariablesReveal)?;
        if wanted.reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_LENGTH_MAX) {
            return Err(ControlError::invalid("/reason", "too-long", format!("at most {REASON_LENGTH_MAX} characters")));
        }
        let scope = Scope::of(actor)?;
        let row = self.variable(scope, name).await?;
        if row.kind == VariableKind::Sealed {
            return Err(ControlError::refused(
                Code::Forbidden,
                "A sealed variable is never shown again. Replace its value, or rotate the secret at its source.",
            ));
        }
        let value = self.value_of(scope.organization, row.version_id, row.plain_value, row.sealed_value.as_deref()).await?;
        let mut write = self.store().write().await?;
        self.record(actor, "variable.revealed")
            .resource(scope.word, scope.shown_id(), None)
            .detail("name", name)
            .detail("version", row.version)
            .detail("reason", &wanted.reason)
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(RevealedVariable { name: row.name, version: unsigned(row.version), value: value.reveal().clone() })
    }

    /// A `.env` text of the level. `reveal`: with the values of secrets; sealed ones are never in it, only named.
    pub async fn export_variables(&self, actor: &Actor, reveal: bool) -> Result<String> {
        actor.require(Permission::VariablesRead)?;
        if reveal {
            actor.require(Permission::VariablesReveal)?;
            self.require_fresh(actor)?;
        }
        let scope = Scope::of(actor)?;
        let rows = variables::all_of_scope(&mut self.store().read().await?, scope.organization, scope.kind, scope.id).await?;
        let mut text = String::new();
        let mut opened = Vec::new();
        for row in rows {
            match row.kind {
                VariableKind::Plain => text.push_str(&print([(row.name.as_str(), row.plain_value.as_deref().unwrap_or(""))])),
                VariableKind::Secret if reveal => {
                    let value = self.value_of(scope.organization, row.version_id, None, row.sealed_value.as_deref()).await?;
                    text.push_str(&print([(row.name.as_str(), value.reveal().as_str())]));
                    opened.push(row.name);
                }
                kind => text.push_str(&format!("# {}= ({}, not shown)\n", row.name, crate::word(&kind))),
            }
        }
        if !opened.is_empty() {
            let mut write = self.store().write().await?;
            self.record(actor, "variables.exported")
                .resource(scope.word, scope.shown_id(), None)
                .detail("names", opened)
                .append(&mut write)
                .await?;
            write.commit().await?;
        }
        Ok(text)
    }

    /// A session that gave its password lately; tokens carry the scope instead.
    fn require_fresh(&self, actor: &Actor) -> Result<()> {
        match &actor.principal.via {
            crate::access::Via::Session { fresh_for_step_up: false, .. } => Err(ControlError::refused(
                Code::StepUpRequired,
                "This needs a password given in the last minutes: POST /api/v1/me/step-up, then repeat the request.",
            )),
            _ => Ok(()),
        }
    }

    /// The kept versions of a variable, newest first.
    pub async fn variable_versions(&self, actor: &Actor, name: &str) -> Result<VariableVersions> {
        actor.require(Permission::VariablesRead)?;
        let scope = Scope::of(actor)?;
        let row = self.variable(scope, name).await?;
        let versions = variables::versions(&mut self.store().read().await?, scope.organization, row.id).await?;
        let shown = |version: variables::VersionRow| VariableVersion {
            version: unsigned(version.version),
            kind: version.kind,
            value: version.plain_value,
            author: version.author_id,
            current: version.version == row.version,
            created_at: version.created_at,
        };
        Ok(VariableVersions { data: versions.into_iter().map(shown).collect() })
    }

    /// Makes an old version's value the present one again, as a new version. A value that was hidden stays hidden.
    ///
    /// # Errors
    /// `not-found` for a version that is not kept.
    pub async fn restore_variable(&self, actor: &Actor, name: &str, wanted: &RestoreVersion, deploy: bool) -> Result<VariablesChanged> {
        actor.require(Permission::VariablesWrite)?;
        let scope = Scope::of(actor)?;
        let row = self.variable(scope, name).await?;
        let number = i64::try_from(wanted.version).unwrap_or(i64::MAX);
        let version = variables::find_version(&mut self.store().read().await?, scope.organization, row.id, number).await?;
        let version = version.ok_or(ControlError::NotFound("version"))?;
        let value = self.value_of(scope.organization, version.id, version.plain_value, version.sealed_value.as_deref()).await?;
        // Never less hidden than it was or is: a restore is not a way to read.
        let rank = |kind: VariableKind| match kind {
            VariableKind::Plain => 0,
            VariableKind::Secret => 1,
            VariableKind::Sealed => 2,
        };
        let kind = if rank(version.kind) >= rank(row.kind) { version.kind } else { row.kind };
        let set = vec![SetVariable { name: row.name, kind: Some(kind), value }];
        self.change(actor, scope, None, false, set, Vec::new(), "", deploy).await
    }
}

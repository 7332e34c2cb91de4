//! Staged changes: what differs from the release that serves.

use std::collections::{BTreeMap, BTreeSet};

use contract::Code;
use contract::services::{Service, StagedChange, StagedChanges};
use domain::id::Id;
use domain::permission::Permission;
use serde_json::Value;
use store::releases::ReleaseRow;
use store::services::ServiceRow;
use store::variables::ScopeKind;
use store::{Unit, domains, releases, services, variables};

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

impl Control {
    /// What the next deployment would change: settings with their values, variables and domains by name.
    pub async fn staged_changes(&self, actor: &Actor) -> Result<StagedChanges> {
        actor.require(Permission::ServicesRead)?;
        let mut read = self.store().read().await?;
        let row = services::find(&mut read, actor.organization, actor.service()?).await?.ok_or(ControlError::NotFound("service"))?;
        let release = match row.current_release_id {
            Some(id) => releases::find(&mut read, actor.organization, id).await?,
            None => None,
        };
        let Some(release) = release else { return Ok(StagedChanges { draft: true, changes: Vec::new() }) };
        let mut changes = Vec::new();
        let before = serde_json::to_value(&release.configuration).map_err(anyhow::Error::new)?;
        let mut next = row.configuration.clone();
        // A port that the image decides is no change.
        next.0.port = next.0.port.or(release.configuration.0.port);
        let after = serde_json::to_value(&next).map_err(anyhow::Error::new)?;
        compare("", &before, &after, &mut changes);
        self.compare_variables(&mut read, &row, &release, &mut changes).await?;
        let own = domains::all_of_service(&mut read, actor.organization, row.id).await?;
        let now: BTreeSet<String> = own.into_iter().map(|domain| domain.host).chain([self.generated_host(&row.app_name)]).collect();
        let then: BTreeSet<String> = release.hosts.0.iter().cloned().collect();
        let named = |name: &String, change: &str| StagedChange {
            kind: "domain".into(),
            name: name.clone(),
            change: change.into(),
            before: None,
            after: None,
        };
        changes.extend(now.difference(&then).map(|host| named(host, "added")));
        changes.extend(then.difference(&now).map(|host| named(host, "removed")));
        Ok(StagedChanges { draft: row.draft(), changes })
    }

    /// Takes the settings back to those of the release that serves. Variables keep their values: each has its own history.
    ///
    /// # Errors
    /// `conflict` when nothing was released yet.
    pub async fn discard_changes(&self, actor: &Actor) -> Result<Service> {
        actor.require(Permission::ServicesWrite)?;
        let mut write = self.store().write().await?;
        let mut row = services::get_locked(&mut write, actor.organization, actor.service()?).await?;
        let release = match row.current_release_id {
            Some(id) => releases::find(&mut write, actor.organization, id).await?,
            None => None,
        };
        let release = release
            .ok_or_else(|| ControlError::refused(Code::Conflict, "The service has no release yet, so there is nothing to go back to."))?;
        let before = row.configuration.clone();
        row.configuration = release.configuration.clone();
        // A release has always a port; whether the image or the service said it shows only in what was set.
        if before.0.port.is_none() {
            row.configuration.0.port = None;
        }
        row.updated_at = self.clock().now();
        services::update(&mut write, &row, false).await.map_err(crate::named::stale)?;
        let mut left = Vec::new();
        self.compare_variables(&mut write, &row, &release, &mut left).await?;
        if left.is_empty() {
            services::set_unchanged(&mut write, actor.organization, row.id).await?;
        }
        let row = services::get_locked(&mut write, actor.organization, row.id).await?;
        self.record(actor, "service.changes_discarded")
            .resource("service", row.id, Some(&row.name))
            .states(Some(&before), Some(&row.configuration))
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(self.shown_service(row))
    }

    /// Compares names and versions; values are not opened for it.
    async fn compare_variables(
        &self,
        unit: &mut impl Unit,
        row: &ServiceRow,
        release: &ReleaseRow,
        changes: &mut Vec<StagedChange>,
    ) -> Result<()> {
        let mut now: BTreeMap<String, Option<i64>> = BTreeMap::new();
        let levels = [
            (ScopeKind::Project, row.project_id.uuid()),
            (ScopeKind::Environment, row.environment_id.uuid()),
            (ScopeKind::Service, row.id.uuid()),
        ];
        for (kind, scope) in levels {
            for variable in variables::all_of_scope(unit, row.organization_id, kind, scope).await? {
                now.insert(variable.name, Some(variable.version));
            }
        }
        let then = crate::releases::noted_variables(&release.variable_names.0);
        let mut add = |name: &String, change: &str| {
            changes.push(StagedChange { kind: "variable".into(), name: name.clone(), change: change.into(), before: None, after: None });
        };
        for (name, version) in &now {
            match then.get(name) {
                None => add(name, "added"),
                Some(known) if known.version.is_some() && known.version != *version => add(name, "changed"),
                Some(_) => {}
            }
        }
        for name in then.keys().filter(|name| !now.contains_key(*name) && !is_built_in(name)) {
            add(name, "removed");
        }
        Ok(())
    }
}

fn is_built_in(name: &str) -> bool {
    name.starts_with(domain::variables::BUILT_IN_PREFIX) || name == "PORT"
}

/// The differences of two JSON values, by pointer; lists are compared as a whole.
fn compare(pointer: &str, before: &Value, after: &Value, changes: &mut Vec<StagedChange>) {
    if before == after {
        return;
    }
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            compare(&pointer, old.get(name).unwrap_or(&Value::Null), new.get(name).unwrap_or(&Value::Null), changes);
        }
        return;
    }
    let change = match (before.is_null(), after.is_null()) {
        (true, _) => "added",
        (_, true) => "removed",
        _ => "changed",
    };
    let shown = |value: &Value| (!value.is_null()).then(|| value.clone());
    changes.push(StagedChange {
        kind: "configuration".into(),
        name: pointer.to_owned(),
        change: change.into(),
        before: shown(before),
        after: shown(after),
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_named_by_pointer() {
        let mut changes = Vec::new();
        compare(
            "",
            &json!({ "a": 1, "b": { "c": 1, "d": [1] }, "e": 1 }),
            &json!({ "a": 1, "b": { "c": 2, "d": [1, 2] }, "f": 1 }),
            &mut changes,
        );
        let shown: Vec<(&str, &str)> = changes.iter().map(|change| (change.name.as_str(), change.change.as_str())).collect();
        assert_eq!(shown, [("/b/c", "changed"), ("/b/d", "changed"), ("/e", "removed"), ("/f", "added")]);
    }
}

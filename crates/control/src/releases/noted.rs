//! What a release notes of its variables: names and versions, never values.

use std::collections::BTreeMap;

use serde_json::Value;

/// A variable as a release noted it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    /// `None` for what Seaway sets, and in releases of older versions.
    pub version: Option<i64>,
    id: Option<String>,
}

/// Reads every form that there ever was: `{"A": {"version": 3, "id": "…"}}`, `{"A": 3}`, `["A"]`,
/// `[{"name": "A", "version": 3}]`.
pub(crate) fn noted_variables(names: &Value) -> BTreeMap<String, Noted> {
    let noted = |value: &Value| Noted {
        version: value.as_i64().or_else(|| value.get("version").and_then(Value::as_i64)),
        id: value.get("id").and_then(Value::as_str).map(str::to_owned),
    };
    match names {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), noted(value))).collect(),
        Value::Array(items) => {
            items.iter().filter_map(|item| Some((item.as_str().or_else(|| item.get("name")?.as_str())?.to_owned(), noted(item)))).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// What differs, in words. Of releases that noted no versions only what came and went can be said.
pub(super) fn changed_variables(before: &Value, after: &Value) -> Vec<String> {
    let (old, new) = (noted_variables(before), noted_variables(after));
    let mut lines = Vec::new();
    for (name, now) in &new {
        let Some(then) = old.get(name) else {
            lines.push(match now.version {
                Some(version) => format!("variable added: {name} (v{version})"),
                None => format!("variable added: {name}"),
            });
            continue;
        };
        match (then.version, now.version) {
            (Some(from), Some(to)) if from != to => lines.push(format!("variable changed: {name} (v{from} → v{to})")),
            (Some(_), Some(_)) if then.id.is_some() && now.id.is_some() && then.id != now.id => {
                lines.push(format!("variable changed: {name} (set anew)"));
            }
            _ => {}
        }
    }
    lines.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("variable removed: {name}")));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{changed_variables, noted_variables};

    #[test]
    fn versions_tell_what_changed() {
        let before =
            json!({ "A": { "version": 1, "id": "a" }, "B": { "version": 1, "id": "b" }, "C": { "version": 2, "id": "c" }, "PORT": null });
        let after =
            json!({ "A": { "version": 2, "id": "d" }, "B": { "version": 1, "id": "e" }, "D": { "version": 1, "id": "f" }, "PORT": null });
        let expected = ["variable changed: A (v1 → v2)", "variable changed: B (set anew)", "variable added: D (v1)", "variable removed: C"];
        assert_eq!(changed_variables(&before, &after), expected);
        assert!(changed_variables(&after, &after).is_empty());
    }

    #[test]
    fn releases_of_older_versions_are_read() {
        let old = json!(["A", "B"]);
        assert_eq!(noted_variables(&old).into_keys().collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(changed_variables(&old, &json!({ "A": { "version": 4, "id": "a" } })), ["variable removed: B"]);
    }
}

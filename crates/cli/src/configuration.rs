//! Reading and changing what a service is configured as. Every verb that changes it sends a merge patch through [`change`].

use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::arguments::When;
use crate::failure::{Failure, Result};
use crate::target::{Context, Target, text};
use crate::units;

pub async fn read(api: &Api, target: &Target) -> Result<Value> {
    let service: Value = api.get(&format!("/services/{}", target.service)).await?;
    Ok(service.get("configuration").cloned().unwrap_or_default())
}

/// Sends the patch and says what happens next.
pub async fn change(context: &Context, api: &Api, target: &Target, patch: Value, when: &When) -> Result<()> {
    let path = format!("/services/{}?deploy={}", target.service, !when.draft);
    let service: Value = api.patch(&path, &json!({"configuration": patch})).await?;
    context.output.answer(&service, || {
        let draft = service.get("draft") == Some(&Value::Bool(true));
        vec![match (draft, when.draft, text(&service, "current_release")) {
            (false, ..) => "nothing changed, or the running release has it already".to_owned(),
            (true, _, "") => "changed; the first deployment takes it: seaway deploy".to_owned(),
            (true, true, _) => "kept as a draft; see it: seaway changes; deploy it: seaway deploy".to_owned(),
            (true, false, _) => "changed; a new release brings it to the app: seaway deployments ls".to_owned(),
        }]
    });
    Ok(())
}

/// The value at a dotted name: `health.probe.path`, `processes.0.replicas`.
pub fn at<'a>(configuration: &'a Value, name: &str) -> Option<&'a Value> {
    configuration.pointer(&format!("/{}", name.replace('.', "/")))
}

/// A merge patch that sets one dotted name. Numbers of a list are refused: lists are replaced as a whole.
pub fn patch_of(name: &str, value: Value) -> Result<Value> {
    let wrong = || Failure::usage(format!("{name:?} is no setting; they are named like port or health.interval_ms: seaway settings get"));
    if name.split('.').any(|part| part.is_empty() || part.chars().all(|letter| letter.is_ascii_digit())) {
        return Err(wrong());
    }
    Ok(name.rsplit('.').fold(value, |inner, part| Value::Object(Map::from_iter([(part.to_owned(), inner)]))))
}

/// Puts one merge patch over another.
pub fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

/// A value as it is typed: JSON where it is JSON, with units where the name says so, a text otherwise.
pub fn value_of(name: &str, typed: &str) -> Result<Value> {
    if let Ok(value) = serde_json::from_str(typed) {
        return Ok(value);
    }
    let milliseconds = |typed: &str| units::duration(typed).map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let number = match name.rsplit('.').next().unwrap_or(name) {
        part if part.ends_with("bytes") || part.ends_with("bytes_max") => units::bytes(typed),
        part if part.ends_with("_seconds") => units::duration(typed).map(|time| time.as_secs()),
        part if part.ends_with("_ms") => milliseconds(typed),
        part if part.ends_with("cpu_millis") => units::cpu_millis(typed),
        _ => return Ok(Value::String(typed.to_owned())),
    };
    number.map(Value::from).map_err(Failure::usage)
}

/// Every value with its dotted name; lists stay whole.
pub fn flat(value: &Value) -> Vec<(String, Value)> {
    let Value::Object(object) = value else { return Vec::new() };
    let mut lines = Vec::new();
    for (name, inner) in object {
        match inner {
            Value::Object(fields) if !fields.is_empty() => {
                lines.extend(flat(inner).into_iter().map(|(below, value)| (format!("{name}.{below}"), value)));
            }
            _ => lines.push((name.clone(), inner.clone())),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_names_become_patches_and_back() {
        let mut patch = patch_of("health.interval_ms", value_of("health.interval_ms", "250ms").unwrap()).unwrap();
        merge(&mut patch, patch_of("health.probe", json!({"type": "tcp"})).unwrap());
        merge(&mut patch, patch_of("port", value_of("port", "8080").unwrap()).unwrap());
        assert_eq!(patch, json!({"health": {"interval_ms": 250, "probe": {"type": "tcp"}}, "port": 8080}));
        assert_eq!(at(&patch, "health.probe.type"), Some(&json!("tcp")));
        let names: Vec<String> = flat(&patch).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["health.interval_ms", "health.probe.type", "port"]);
        for bad in ["", "a..b", "processes.0.replicas"] {
            assert!(patch_of(bad, Value::Null).is_err(), "{bad}");
        }
    }

    #[test]
    fn typed_values_have_units_where_the_name_says_so() {
        assert_eq!(value_of("build_limits.memory_bytes", "2g").unwrap(), json!(2_147_483_648_u64));
        assert_eq!(value_of("drain_seconds", "1m").unwrap(), json!(60));
        assert_eq!(value_of("engine.user", "app").unwrap(), json!("app"));
        assert_eq!(value_of("release_command", r#"["./migrate"]"#).unwrap(), json!(["./migrate"]));
        assert_eq!(value_of("read_only_root", "true").unwrap(), json!(true));
        assert!(value_of("drain_seconds", "soon").is_err());
    }
}

//! Merge patches (RFC 7396) of a configuration.

use contract::FieldError;
use domain::service::Configuration;
use serde_json::{Map, Value};

use crate::error::{ControlError, Result};

/// The configuration with the patch in it. `null` gives a default back; an object whose `type` changes is replaced as a whole,
/// because the fields of one kind of source mean nothing to another.
///
/// # Errors
/// `invalid` for unknown fields and wrong types, with the field's name.
pub(super) fn merged(configuration: &Configuration, patch: Value) -> Result<Configuration> {
    if !patch.is_object() {
        return Err(ControlError::invalid("/configuration", "invalid", "an object with the fields to change"));
    }
    let mut value = serde_json::to_value(configuration).map_err(anyhow::Error::new)?;
    merge(&mut value, patch);
    serde_path_to_error::deserialize::<_, Configuration>(value).map_err(|error| {
        let path = error.path().to_string();
        let pointer: String = match path.as_str() {
            "." => String::new(),
            path => path.split('.').map(|part| format!("/{}", part.replace(['[', ']'], ""))).collect(),
        };
        let detail = error.inner().to_string();
        let code = if detail.starts_with("unknown field") { "unknown-field" } else { "invalid" };
        ControlError::Invalid(vec![FieldError::new(format!("/configuration{pointer}"), code, detail)])
    })
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    let other_type = patch.get("type").is_some_and(|kind| target.get("type") != Some(kind));
    if !target.is_object() || other_type {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, value) in patch {
        match value {
            Value::Null => {
                fields.remove(&name);
            }
            value => merge(fields.entry(name).or_insert(Value::Null), value),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::service::{Probe, Source};
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_merged_types_replaced_and_nulls_reset() {
        let one = merged(&Configuration::default(), json!({ "source": { "type": "git", "url": "https://h/x" }, "port": 8080 })).unwrap();
        assert_eq!(one.port, Some(8080));
        let two =
            merged(&one, json!({ "source": { "reference": "main" }, "health": { "probe": { "type": "http", "path": "/" } } })).unwrap();
        assert!(
            matches!(&two.source, Some(Source::Git { url, reference: Some(reference), .. }) if url == "https://h/x" && reference == "main")
        );
        assert_eq!((two.health.probe, two.health.interval_ms), (Probe::Http { path: "/".into() }, 250));
        let three = merged(&one, json!({ "source": { "type": "image", "reference": "nginx" }, "port": null })).unwrap();
        assert!(matches!(three.source, Some(Source::Image { .. })));
        assert_eq!(three.port, None);
        assert!(merged(&one, json!({ "source": null })).unwrap().source.is_none());
    }

    #[test]
    fn mistakes_name_the_field() {
        for (patch, pointer) in
            [(json!({ "prot": 1 }), "/configuration"), (json!({ "port": "x" }), "/configuration/port"), (json!([]), "/configuration")]
        {
            let Err(ControlError::Invalid(errors)) = merged(&Configuration::default(), patch) else { panic!("accepted") };
            assert!(errors[0].pointer.starts_with(pointer), "{errors:?}");
        }
    }
}

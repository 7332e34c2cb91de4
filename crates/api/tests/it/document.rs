//! The OpenAPI document: checked in, and every request refuses what it does not know.

use std::path::Path;

use serde_json::Value;

const HOW: &str = "run `make openapi` (UPDATE=1 cargo test -p api document)";

fn document() -> Value {
    serde_json::to_value(api::openapi::document(&api::v1::endpoints())).unwrap()
}

#[test]
fn the_checked_in_document_is_the_one_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(known == text, "docs/openapi.json is not what the endpoints declare: {HOW}");
}

#[test]
fn every_request_refuses_unknown_fields() {
    let document = document();
    let mut looked_at = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(content) = operation.pointer("/requestBody/content/application~1json/schema") else { continue };
            let name = content["$ref"].as_str().unwrap_or_default().rsplit('/').next().unwrap();
            let schema = &document["components"]["schemas"][name];
            looked_at += 1;
            if schema.get("oneOf").is_some() {
                // The document cannot say it of an enum: the type itself is asked.
                assert!(
                    tagged_refuses(name),
                    "{method} {path}: add a sample of {name} to tagged_refuses, and #[serde(deny_unknown_fields)]"
                );
                continue;
            }
            assert_eq!(schema["additionalProperties"], Value::Bool(false), "{method} {path}: {name} needs #[serde(deny_unknown_fields)]");
        }
    }
    assert!(looked_at > 15, "only {looked_at} requests were found");
}

/// Whether a request type that is an enum refuses an unknown field (and takes the sample without it).
fn tagged_refuses(name: &str) -> bool {
    fn refuses<T: serde::de::DeserializeOwned>(sample: Value) -> bool {
        let mut more = sample.clone();
        more["nmae"] = Value::Null;
        serde_json::from_value::<T>(sample).is_ok() && serde_json::from_value::<T>(more).is_err()
    }
    match name {
        "CreateCredential" => {
            let sample = serde_json::json!({ "kind": "git_token", "name": "n", "token": "t" });
            refuses::<contract::credentials::CreateCredential>(sample)
        }
        _ => false,
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_is_described() {
    let document = document();
    let mut references = Vec::new();
    collect(&document, &mut references);
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere: name the type in `answers` or `body`, or derive ToSchema");
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for field in ["summary", "operationId"] {
                assert!(operation[field].as_str().is_some_and(|text| !text.is_empty()), "{method} {path} has no {field}");
            }
            assert!(operation["tags"][0].as_str().is_some_and(|tag| !tag.is_empty()), "{method} {path} has no tag");
        }
    }
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.push(reference.clone());
            }
            map.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

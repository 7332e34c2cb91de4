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
            assert_eq!(schema["additionalProperties"], Value::Bool(false), "{method} {path}: {name} needs #[serde(deny_unknown_fields)]");
            looked_at += 1;
        }
    }
    assert!(looked_at > 15, "only {looked_at} requests were found");
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

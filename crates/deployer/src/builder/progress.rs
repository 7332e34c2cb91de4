//! What the engine says during a build, as lines and an end; the same for BuildKit and the classic builder.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard_buildkit_proto::moby::buildkit::v1::StatusResponse;
use prost::Message;
use serde::Deserialize;

use crate::output::LineSplitter;

#[derive(Debug, Deserialize)]
struct Said {
    id: Option<String>,
    stream: Option<String>,
    status: Option<String>,
    error: Option<String>,
    #[serde(rename = "errorDetail")]
    detail: Option<Detail>,
    aux: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Detail {
    message: Option<String>,
    code: Option<i64>,
}

/// How far a build is.
#[derive(Debug, Default)]
pub struct Progress {
    rest: Vec<u8>,
    classic: LineSplitter,
    steps: HashMap<String, Step>,
    /// Id of the finished image.
    pub image: Option<String>,
    pub error: Option<String>,
    pub error_code: Option<i64>,
}

#[derive(Debug, Default)]
struct Step {
    number: usize,
    announced: bool,
    ended: bool,
    output: LineSplitter,
}

impl Progress {
    /// Takes bytes of the answer (JSON documents, one after the other) and gives the lines in them.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(chunk);
        let mut lines = Vec::new();
        let rest = std::mem::take(&mut self.rest);
        let mut position = 0;
        for document in rest.split_inclusive(|byte| *byte == b'\n') {
            if !document.ends_with(b"\n") {
                break;
            }
            position += document.len();
            if let Ok(said) = serde_json::from_slice::<Said>(document) {
                self.take(said, &mut lines);
            }
        }
        self.rest = rest.get(position..).unwrap_or_default().to_vec();
        lines
    }

    /// Lines without an end, at the end.
    pub fn finish(&mut self) -> Vec<String> {
        self.rest.push(b'\n');
        let mut lines = self.push(b"");
        lines.extend(self.classic.finish());
        for step in self.steps.values_mut() {
            lines.extend(step.output.finish());
        }
        lines
    }

    fn take(&mut self, said: Said, lines: &mut Vec<String>) {
        if let Some(text) = said.stream {
            lines.extend(self.classic.push(text.as_bytes()));
        }
        if let Some(detail) = said.detail {
            self.error_code = detail.code;
            self.error = detail.message;
        }
        if let Some(error) = said.error {
            self.error.get_or_insert(error);
        }
        if let Some(status) = said.status {
            // The classic builder pulls base images with thousands of small messages.
            if status.starts_with("Status:") || status.starts_with("Pulling from") {
                lines.push(status);
            }
        }
        let Some(aux) = said.aux else { return };
        if said.id.as_deref() == Some("moby.buildkit.trace") {
            let status =
                aux.as_str().and_then(|text| STANDARD.decode(text).ok()).and_then(|bytes| StatusResponse::decode(bytes.as_slice()).ok());
            if let Some(status) = status {
                self.status(status, lines);
            }
        } else if let Some(id) = aux.get("ID").and_then(|id| id.as_str()) {
            self.image = Some(id.to_owned());
        }
    }

    fn status(&mut self, status: StatusResponse, lines: &mut Vec<String>) {
        for vertex in status.vertexes {
            let count = self.steps.len();
            let step = self.steps.entry(vertex.digest).or_insert_with(|| Step { number: count + 1, ..Step::default() });
            let internal = vertex.name.starts_with("[internal]") || vertex.name == "copy /context /";
            if vertex.started.is_some() && !step.announced && !internal {
                step.announced = true;
                lines.push(format!("#{} {}", step.number, vertex.name));
            }
            if step.ended || internal {
                continue;
            }
            if vertex.cached {
                step.ended = true;
                lines.push(format!("#{} CACHED", step.number));
            } else if vertex.completed.is_some() {
                step.ended = true;
                lines.extend(step.output.finish());
                if !vertex.error.is_empty() {
                    lines.push(format!("#{} ERROR: {}", step.number, vertex.error));
                }
            }
        }
        for log in status.logs {
            let step = self.steps.entry(log.vertex).or_default();
            lines.extend(step.output.push(&log.msg));
        }
    }
}

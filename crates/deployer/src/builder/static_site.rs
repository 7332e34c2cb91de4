//! A folder of files as an image of one layer: the files and Seaway's own small file server, without a base image.

use std::collections::BTreeMap;
use std::path::Path;

use domain::deployment::{Cause, Failure, Step};
use domain::service::BuildLimits;
use http_body_util::BodyExt;
use hyper::Method;
use rustix::fs::FileType;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::context::{Context, stream};
use super::engine::{EngineSocket, query, streamed};
use super::failure;
use super::ignore::Ignore;
use super::image_build::inside;
use crate::output::Lines;

/// Where the server and the site are in the image.
const SERVER: &str = "seaway-fileserver";
const SITE: &str = "site/";
/// `nobody`: no file of the image belongs to it.
const USER: &str = "65534:65534";

pub struct SiteBuild<'a> {
    pub engine: &'a EngineSocket,
    /// The statically linked server.
    pub server: Option<&'a Path>,
    pub root: &'a Path,
    pub folder: &'a str,
    pub single_page: bool,
    pub labels: &'a BTreeMap<String, String>,
    /// `name:tag`.
    pub tag: &'a str,
    pub limits: &'a BuildLimits,
    pub lines: Lines<'a>,
    pub cancel: &'a CancellationToken,
}

impl SiteBuild<'_> {
    /// Answers the image's id.
    ///
    /// # Errors
    /// The folder is missing, the server's program is not installed, or the engine fails.
    pub async fn run(self) -> Result<String, Failure> {
        let (folder, kind) = inside(self.root, self.folder, "publish folder")?;
        if kind != FileType::Directory {
            return Err(failure::build(
                format!("The publish folder “{}” is not a folder.", self.folder),
                "Set it to the folder with the site's files.",
            ));
        }
        let missing = || {
            Failure::new(
                Cause::Internal,
                Step::Build,
                "The program that serves static sites is not installed beside Seaway.",
                "The operator must install `seaway-fileserver` beside the `seaway` program.",
            )
        };
        let server = self.server.ok_or_else(missing)?;
        let program = tokio::fs::read(server).await.map_err(|_unreadable| missing())?;
        if !folder.join("index.html").is_file() {
            self.lines.say("Note: the publish folder has no index.html.").await;
        }
        self.lines.say(&format!("Packing the folder “{}” with Seaway's file server", self.folder)).await;
        let (name, tag) = self.tag.split_once(':').unwrap_or((self.tag, "latest"));
        let mut entrypoint = vec![format!("/{SERVER}"), format!("/{}", SITE.trim_end_matches('/'))];
        if self.single_page {
            entrypoint.push("--single-page".to_owned());
        }
        let mut parts = vec![
            ("fromSrc", "-".to_owned()),
            ("repo", name.to_owned()),
            ("tag", tag.to_owned()),
            ("changes", format!("ENTRYPOINT {}", serde_json::to_string(&entrypoint).unwrap_or_default())),
            ("changes", format!("USER {USER}")),
            ("changes", "ENV PORT=3000".to_owned()),
            ("changes", "EXPOSE 3000".to_owned()),
        ];
        for (key, value) in self.labels {
            parts.push(("changes", format!("LABEL {key}={}", quoted(value))));
        }
        let context = Context {
            folder,
            ignore: Ignore::parse(".git\n.dockerignore"),
            extra: vec![(SERVER.to_owned(), program, 0o755)],
            prefix: SITE.to_owned(),
        };
        let send = self.send(format!("/images/create?{}", query(&parts)), context);
        tokio::select! {
            image = send => image,
            () = self.cancel.cancelled() => Err(failure::canceled()),
            () = tokio::time::sleep(std::time::Duration::from_secs(u64::from(self.limits.timeout_seconds))) => Err(failure::timed_out(self.limits)),
        }
    }

    async fn send(&self, target: String, context: Context) -> Result<String, Failure> {
        let body = streamed(ReceiverStream::new(stream(context)));
        let (answer, _connection) = self
            .engine
            .send(Method::POST, &target, &[("content-type", "application/x-tar")], body)
            .await
            .map_err(|error| failure::engine(&error, self.limits))?;
        let bytes = answer.into_body().collect().await.map_err(|error| failure::engine_gone(&error.to_string()))?.to_bytes();
        let mut image = None;
        for document in bytes.split(|byte| *byte == b'\n') {
            let Ok(said) = serde_json::from_slice::<serde_json::Value>(document) else { continue };
            if let Some(error) = said.get("error").and_then(|error| error.as_str()) {
                return Err(failure::said(error, None, self.limits));
            }
            if let Some(id) = said.get("status").and_then(|status| status.as_str()).filter(|status| status.starts_with("sha256:")) {
                image = Some(id.to_owned());
            }
        }
        image.ok_or_else(|| failure::engine_gone("it ended the import without a result"))
    }
}

/// A value of a `LABEL` instruction: in double quotes, nothing expanded.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for character in value.chars().filter(|character| !character.is_control()) {
        if matches!(character, '"' | '\\' | '$') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
    text
}

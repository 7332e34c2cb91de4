//! Builds an image from a Dockerfile: BuildKit where the engine has it, the classic builder otherwise.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use domain::Secret;
use domain::deployment::{Cause, Failure, Step};
use domain::service::BuildLimits;
use http_body_util::BodyExt;
use hyper::Method;
use rustix::fs::FileType;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::bases::Bases;
use super::context::{Context, stream};
use super::dockerfile::{SCOPE, check_frontend, check_scope, scope, scoped};
use super::engine::{EngineError, EngineSocket, query, streamed};
use super::ignore::Ignore;
use super::progress::Progress;
use super::session::{HUB_INDEX, Provider, Session, is_hub};
use super::{failure, limits};
use crate::output::Lines;
use crate::protocol::RegistryCredential;
use crate::source::tree::resolve_beneath;

const DOCKERFILE_BYTES_MAX: u64 = 1024 * 1024;
const TAIL_LINES: usize = 20;
const ENTRIES_SHOWN: usize = 20;
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// A build that takes longer without a step that was limited says so.
const UNLIMITED_MAX: Duration = Duration::from_secs(5);
const LIMITS_OUT_OF_REACH: &str =
    "Note: memory and CPU limits of builds are not in force on this server, because its control groups cannot be reached.";
const LIMITS_NOT_SEEN: &str = "Note: no step of this build was seen by its memory and CPU limits (they may all have come from the cache).";
/// Name in the context of a Dockerfile that lies outside of it.
const OUTSIDE_NAME: &str = ".seaway.Dockerfile";

pub struct ImageBuild<'a> {
    pub engine: &'a EngineSocket,
    pub buildkit: bool,
    /// The source's folder with the service's root applied.
    pub root: &'a Path,
    pub dockerfile: &'a str,
    pub context: &'a str,
    pub target: Option<&'a str>,
    pub arguments: &'a BTreeMap<String, String>,
    pub secrets: BTreeMap<String, Secret<String>>,
    pub registries: &'a [(String, RegistryCredential)],
    pub bases: Bases<'a>,
    pub frontends: &'a [String],
    pub labels: &'a BTreeMap<String, String>,
    pub tag: &'a str,
    pub tenant: &'a str,
    /// Unique for this build in the engine.
    pub build_id: &'a str,
    pub limits: &'a BuildLimits,
    pub cache: bool,
    pub lines: Lines<'a>,
    pub cancel: &'a CancellationToken,
}

/// Resolves a user's folder or file inside the source.
pub fn inside(root: &Path, path: &str, what: &str) -> Result<(PathBuf, FileType), Failure> {
    let relative = path.trim_start_matches('/');
    let relative = if relative.is_empty() { "." } else { relative };
    resolve_beneath(root, Path::new(relative)).map_err(|error| {
        let leaves = error.raw_os_error() == Some(rustix::io::Errno::XDEV.raw_os_error());
        if leaves {
            return Failure::new(
                Cause::Source,
                Step::Build,
                format!("The {what} “{path}” leads out of the source."),
                "Use a path inside the source, without links that leave it.",
            );
        }
        failure::build(
            format!("The {what} “{path}” does not exist in the source. {}", listing(root)),
            format!("Set the right {what} in the service's build settings, or add it to the source."),
        )
    })
}

fn listing(folder: &Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned() + if entry.path().is_dir() { "/" } else { "" })
        .collect();
    if names.is_empty() {
        return "The folder is empty.".to_owned();
    }
    names.sort();
    let more = if names.len() > ENTRIES_SHOWN { ", …" } else { "" };
    names.truncate(ENTRIES_SHOWN);
    format!("There are: {}{more}.", names.join(", "))
}

impl ImageBuild<'_> {
    /// Answers the image's id.
    ///
    /// # Errors
    /// [`Failure`] with the last lines of the build.
    pub async fn run(self) -> Result<String, Failure> {
        let (context_folder, kind) = inside(self.root, self.context, "build context")?;
        if kind != FileType::Directory {
            return Err(failure::build(
                format!("The build context “{}” is not a folder.", self.context),
                "Set the context to a folder of the source.",
            ));
        }
        let (dockerfile, kind) = inside(self.root, self.dockerfile, "Dockerfile")?;
        if kind != FileType::RegularFile {
            return Err(failure::build(
                format!("The Dockerfile “{}” is not a file. {}", self.dockerfile, listing(self.root)),
                "Set the path of the Dockerfile in the service's build settings.",
            ));
        }
        let text = read_text(&dockerfile)?;
        if text.trim().is_empty() {
            return Err(failure::build(
                format!("The Dockerfile “{}” is empty.", self.dockerfile),
                "Write the Dockerfile, push, and deploy again.",
            ));
        }
        check_frontend(&text, self.frontends)?;
        check_scope(&text)?;
        self.bases.check(&text, self.arguments).await?;
        if let Some(name) = self.arguments.keys().find(|name| name.eq_ignore_ascii_case("BUILDKIT_SYNTAX") || name.as_str() == SCOPE) {
            return Err(failure::build(
                format!("The build argument {name} is not allowed."),
                "Remove it from the service's build arguments.",
            ));
        }
        if !self.buildkit && !self.secrets.is_empty() {
            return Err(failure::build(
                "Build secrets need BuildKit, which this server's engine does not have.",
                "Update the engine of the server, or remove the build secrets.",
            ));
        }
        let key = scope(self.tenant);
        let scoped = scoped(&text, &key);
        let name =
            dockerfile.strip_prefix(&context_folder).ok().and_then(Path::to_str).map_or_else(|| OUTSIDE_NAME.to_owned(), str::to_owned);
        let ignore = Ignore::parse(&ignore_text(&context_folder, &dockerfile)?);
        let mut arguments = self.arguments.clone();
        arguments.insert(SCOPE.to_owned(), key.clone());
        let body = Context {
            folder: context_folder,
            ignore,
            extra: vec![(name.clone(), scoped.text.clone().into_bytes(), 0o644)],
            prefix: String::new(),
        };
        let target = self.target_text(&name, &arguments);
        let enforcement = self.buildkit.then(|| limits::enforce(self.limits, &key));
        let started = Instant::now();
        if self.buildkit && !limits::possible() {
            self.lines.say(LIMITS_OUT_OF_REACH).await;
        }
        let mut tail = VecDeque::new();
        let build = self.send(&target, body, &mut tail);
        let timeout = Duration::from_secs(u64::from(self.limits.timeout_seconds));
        let outcome = tokio::select! {
            outcome = build => outcome,
            () = self.cancel.cancelled() => Err(failure::canceled()),
            () = tokio::time::sleep(timeout) => Err(failure::timed_out(self.limits)),
        };
        if limits::possible() && enforcement.is_some_and(|limits| !limits.reached()) && started.elapsed() > UNLIMITED_MAX {
            self.lines.say(LIMITS_NOT_SEEN).await;
        }
        outcome.map_err(|failure| self.finished(failure, &scoped, tail))
    }

    /// Masks the message and gives it the original's line numbers and the last lines.
    fn finished(&self, mut failure: Failure, scoped: &super::dockerfile::Scoped, tail: VecDeque<String>) -> Failure {
        if failure.message.contains("not valid") {
            failure.message = scoped.original_lines(&failure.message);
        }
        // The engine tells only the step's exit code; why it failed is in what the step said last.
        if failure.cause == Cause::Build && tail.iter().any(|line| line.to_lowercase().contains("no space left on device")) {
            failure.cause = Cause::DiskFull;
            failure.message = format!("A step of the build found no space left on the disk. {}", failure.message);
            failure.next_step =
                "Free space on the server (the operator: `docker system df`), or let the step write less; then deploy again.".to_owned();
        }
        failure.message = self.lines.masker.mask(&failure.message).into_owned();
        failure.with_log_tail(tail.into())
    }

    fn target_text(&self, dockerfile: &str, arguments: &BTreeMap<String, String>) -> String {
        let json = |map: &BTreeMap<String, String>| serde_json::to_string(map).unwrap_or_default();
        let mut parts = vec![
            ("t", self.tag.to_owned()),
            ("dockerfile", dockerfile.to_owned()),
            ("buildargs", json(arguments)),
            ("labels", json(self.labels)),
            ("rm", "1".to_owned()),
            ("forcerm", "1".to_owned()),
        ];
        if !self.cache {
            parts.push(("nocache", "1".to_owned()));
        }
        if let Some(target) = self.target {
            parts.push(("target", target.to_owned()));
        }
        if self.buildkit {
            parts.push(("version", "2".to_owned()));
            parts.push(("buildid", self.build_id.to_owned()));
            if self.has_session() {
                parts.push(("session", self.build_id.to_owned()));
            }
        } else {
            parts.push(("memory", self.limits.memory_bytes.to_string()));
            parts.push(("memswap", self.limits.memory_bytes.to_string()));
            parts.push(("cpuperiod", "100000".to_owned()));
            parts.push(("cpuquota", self.limits.cpu_millis.saturating_mul(100).max(1000).to_string()));
        }
        format!("/build?{}", query(&parts))
    }

    async fn send(&self, target: &str, context: Context, tail: &mut VecDeque<String>) -> Result<String, Failure> {
        let explain = |error: EngineError| failure::engine(&error, self.limits);
        let _session = if self.buildkit && self.has_session() {
            let provider = Provider::new(self.secrets.clone(), self.registries);
            Some(Session::open(self.engine, self.build_id, provider).await.map_err(explain)?)
        } else {
            None
        };
        let mut guard = CancelGuard { engine: self.buildkit.then(|| self.engine.clone()), id: self.build_id.to_owned() };
        let body = streamed(ReceiverStream::new(stream(context)));
        // The classic builder takes credentials with the request; BuildKit asks the session for them.
        let registries = if self.buildkit || self.registries.is_empty() { None } else { Some(registry_header(self.registries)) };
        let mut headers = vec![("content-type", "application/x-tar")];
        headers.extend(registries.as_ref().map(|value| ("x-registry-config", value.reveal().as_str())));
        let (answer, _connection) = self.engine.send(Method::POST, target, &headers, body).await.map_err(explain)?;
        let mut body = answer.into_body();
        let mut progress = Progress::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| failure::engine_gone(&error.to_string()))?;
            let Some(data) = frame.data_ref() else { continue };
            self.say(progress.push(data), tail).await;
        }
        self.say(progress.finish(), tail).await;
        guard.engine = None;
        match (progress.error, progress.image) {
            (Some(error), _) => Err(failure::said(&error, progress.error_code.filter(|code| *code > 0), self.limits)),
            (None, Some(image)) => Ok(image),
            (None, None) => Err(failure::engine_gone("it ended the build without a result")),
        }
    }

    fn has_session(&self) -> bool {
        !self.secrets.is_empty() || !self.registries.is_empty()
    }

    async fn say(&self, lines: Vec<String>, tail: &mut VecDeque<String>) {
        for line in lines {
            let line = self.lines.masker.mask(&line).into_owned();
            self.lines.sink.line(self.lines.channel, self.lines.origin, &line).await;
            tail.push_back(line);
            if tail.len() > TAIL_LINES {
                tail.pop_front();
            }
        }
    }
}

/// `X-Registry-Config`: the classic builder looks a registry up by the name that images begin with.
fn registry_header(registries: &[(String, RegistryCredential)]) -> Secret<String> {
    let all: BTreeMap<String, serde_json::Value> = registries
        .iter()
        .map(|(host, credential)| {
            let name = if is_hub(host) { HUB_INDEX.to_owned() } else { host.clone() };
            (name, serde_json::json!({ "username": credential.username, "password": credential.password.reveal() }))
        })
        .collect();
    use base64::Engine;
    Secret::new(base64::engine::general_purpose::URL_SAFE.encode(serde_json::to_vec(&all).unwrap_or_default()))
}

/// Tells BuildKit to stop when a build is dropped before its end; the cut connection alone is enough for most engines.
struct CancelGuard {
    engine: Option<EngineSocket>,
    id: String,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        let Some(engine) = self.engine.take() else { return };
        let target = format!("/build/cancel?{}", query(&[("id", self.id.clone())]));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // The build may have ended by itself meanwhile.
                let _ended = tokio::time::timeout(CANCEL_TIMEOUT, engine.send(Method::POST, &target, &[], super::engine::empty())).await;
            });
        }
    }
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let too_large = || failure::build("The Dockerfile is larger than 1 MiB.", "Make it smaller.");
    let unreadable = |error: std::io::Error| {
        Failure::new(Cause::Internal, Step::Build, format!("The Dockerfile cannot be read: {error}."), "Deploy again.")
    };
    if std::fs::metadata(path).map_err(unreadable)?.len() > DOCKERFILE_BYTES_MAX {
        return Err(too_large());
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    String::from_utf8(bytes)
        .map_err(|_invalid| failure::build("The Dockerfile is not a UTF-8 text.", "Save it as UTF-8, push, and deploy again."))
}

/// `<Dockerfile>.dockerignore` wins over `.dockerignore`.
fn ignore_text(context: &Path, dockerfile: &Path) -> Result<String, Failure> {
    let own = dockerfile.file_name().map(|name| format!("{}.dockerignore", name.to_string_lossy()));
    let own = own.and_then(|name| Some(dockerfile.parent()?.join(name)));
    for path in own.into_iter().chain(std::iter::once(context.join(".dockerignore"))) {
        if std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            return read_text(&path);
        }
    }
    Ok(String::new())
}

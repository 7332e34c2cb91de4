//! Turns one source revision into one image.
//!
//! It must never build outside the limits of its order, mix the caches of two tenants, let a build secret reach a layer or
//! a log, or build twice for one operation: the image carries the operation's id and is found again.
//!
//! To add a builder: a variant of `domain::service::Builder`, a module here, a branch in [`Workshop::image`].

mod bases;
mod context;
mod dockerfile;
mod engine;
mod failure;
mod ignore;
mod image_build;
mod limits;
mod progress;
mod session;
mod static_site;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::models::ImageInspect;
use domain::deployment::{Cause, Failure, Step};
use domain::service::Builder;
use tokio_util::sync::CancellationToken;

pub use engine::EngineSocket;

use crate::egress::EgressPolicy;
use crate::mask::Masker;
use crate::output::{LineSink, Lines};
use crate::process::Runner;
use crate::protocol::{BuildOrder, Built, FetchSource, GitCredential, Journal, LogChannel};
use crate::source::{self, Fetched, Revision, SourceContext};
use bases::Bases;
use image_build::{ImageBuild, inside};
use static_site::SiteBuild;

const LABEL_INSTANCE: &str = "seaway.instance";
const LABEL_TENANT: &str = "seaway.tenant";
const LABEL_SERVICE: &str = "seaway.service";
const LABEL_DEPLOYMENT: &str = "seaway.deployment";
const LABEL_REVISION: &str = "seaway.revision";
const LABEL_SUBJECT: &str = "seaway.subject";
const LABEL_AUTHOR: &str = "seaway.author";
const LABEL_BUILDER: &str = "seaway.builder";
const LABEL_CHARACTERS_MAX: usize = 200;

/// What the operator sets.
#[derive(Debug, Clone)]
pub struct WorkshopSettings {
    /// Name of the instance, for labels.
    pub instance: String,
    /// Folder for sources while they are built; on disk.
    pub work_dir: PathBuf,
    /// Folder for credentials while they are used; on a memory-backed file system.
    pub secret_dir: PathBuf,
    /// The engine's unix socket.
    pub engine_socket: PathBuf,
    pub egress: EgressPolicy,
    /// The program that serves static sites; beside the running program when `None`.
    pub fileserver: Option<PathBuf>,
    /// Dockerfile frontends (`# syntax=…`) that are allowed, pinned by digest.
    pub frontends: Vec<String>,
    /// `ADD` of an address in a Dockerfile: the engine fetches it itself, past the egress check.
    pub add_from_network: bool,
    pub builder: BuilderChoice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BuilderChoice {
    /// BuildKit when the engine has it.
    #[default]
    Auto,
    BuildKit,
    Classic,
}

/// Builds images.
#[derive(Clone)]
pub struct Workshop {
    docker: Docker,
    engine: EngineSocket,
    runner: Runner,
    settings: WorkshopSettings,
}

impl Workshop {
    pub fn new(docker: Docker, runner: Runner, settings: WorkshopSettings) -> Self {
        Self { docker, engine: EngineSocket::new(settings.engine_socket.clone()), runner, settings }
    }

    /// Removes folders and credentials that a killed agent left behind. Only at start-up, before the first build.
    ///
    /// # Errors
    /// A folder cannot be read or removed.
    pub fn clean(&self) -> std::io::Result<u64> {
        Ok(crate::process::SecretDir::sweep(&self.settings.secret_dir)? + crate::process::SecretDir::sweep(&self.settings.work_dir)?)
    }

    /// Fetches the source and builds its image; a repeat of the same operation answers with the first image.
    ///
    /// # Errors
    /// [`Failure`]; sources and credentials are gone, and no image of the operation is left.
    pub async fn build(
        &self,
        order: BuildOrder,
        journal: &dyn Journal,
        sink: &dyn LineSink,
        cancel: CancellationToken,
    ) -> Result<Built, Failure> {
        let credential = match &order.source {
            FetchSource::Git { credential: Some(GitCredential::Token { token, .. }), .. } => Some(token.clone()),
            FetchSource::Git { credential: Some(GitCredential::DeployKey { private_key, .. }), .. } => Some(private_key.clone()),
            FetchSource::Image { credential: Some(credential), .. } => Some(credential.password.clone()),
            _ => None,
        };
        let registries = order.registries.iter().map(|(_, credential)| &credential.password);
        let masker = Masker::new(order.masks.iter().chain(order.secrets.values()).chain(credential.as_ref()).chain(registries));
        let lines = |origin| Lines { sink, masker: &masker, channel: LogChannel::Platform, origin };
        journal.before(Step::Fetch).await?;
        let tag = format!("{}/{}:{}", source::image::BUILDS, order.service, order.operation).to_lowercase();
        if let Some(built) = self.existing(&tag, &order).await {
            lines("build").say("The image of this deployment is already built.").await;
            journal.after(Step::Fetch, Some(built.revision.clone())).await?;
            journal.before(Step::Build).await?;
            journal.after(Step::Build, Some(built.image.clone())).await?;
            return Ok(built);
        }
        let masked = |failure: Failure| Failure {
            message: masker.mask(&failure.message).into_owned(),
            log_tail: failure.log_tail.iter().map(|line| masker.mask(line).into_owned()).collect(),
            ..failure
        };
        if let FetchSource::Image { reference, credential } = &order.source {
            let image = source::image::fetch(&self.docker, &self.settings.egress, reference, credential.as_ref(), &lines("fetch"), &cancel)
                .await
                .map_err(masked)?;
            let built = pulled(&image)?;
            journal.after(Step::Fetch, Some(built.revision.clone())).await?;
            journal.before(Step::Build).await?;
            journal.after(Step::Build, Some(built.image.clone())).await?;
            return Ok(built);
        }
        let fetched = self.fetch(&order, lines("fetch"), &cancel).await.map_err(masked)?;
        journal.after(Step::Fetch, Some(fetched.revision.id.clone())).await?;
        journal.before(Step::Build).await?;
        let lines = Lines { channel: LogChannel::Stdout, ..lines("build") };
        let built = self.image(&order, &fetched, &tag, lines, &cancel).await.map_err(masked)?;
        journal.after(Step::Build, Some(built.image.clone())).await?;
        Ok(built)
    }

    async fn fetch(&self, order: &BuildOrder, lines: Lines<'_>, cancel: &CancellationToken) -> Result<Fetched, Failure> {
        let context = SourceContext {
            runner: &self.runner,
            egress: &self.settings.egress,
            work_base: &self.settings.work_dir,
            secret_base: &self.settings.secret_dir,
            limits: &order.limits,
            lines,
            cancel,
        };
        match &order.source {
            FetchSource::Git { url, reference, commit, credential, submodules, lfs } => {
                let order = source::git::GitOrder {
                    url,
                    reference: reference.as_deref(),
                    commit: commit.as_deref(),
                    credential: credential.as_ref(),
                    submodules: *submodules,
                    lfs: *lfs,
                };
                source::git::fetch(&context, &order).await
            }
            FetchSource::Archive { path, digest } => source::archive::fetch(&context, path, digest).await,
            FetchSource::Image { .. } => Err(internal("an image is not fetched as files")),
        }
    }

    async fn image(
        &self,
        order: &BuildOrder,
        fetched: &Fetched,
        tag: &str,
        lines: Lines<'_>,
        cancel: &CancellationToken,
    ) -> Result<Built, Failure> {
        let tree = fetched.path();
        let root = match order.root.as_deref() {
            None | Some("" | "." | "/") => tree,
            Some(folder) => inside(&tree, folder, "root folder")?.0,
        };
        let labels = self.labels(order, &fetched.revision);
        // Distinguishes two tries of one operation for BuildKit: each has a folder of its own with a random name.
        let attempt = fetched.path().parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let build_id = format!("{}-{attempt}", order.operation).to_lowercase();
        match &order.builder {
            Builder::Dockerfile { path, context, target, arguments, secrets } => {
                let missing = secrets.iter().find(|name| !order.secrets.contains_key(*name));
                if let Some(name) = missing {
                    return Err(Failure::new(
                        Cause::Configuration,
                        Step::Build,
                        format!("The build secret {name} has no value."),
                        "Set the variable, or remove it from the build secrets.",
                    ));
                }
                let secrets = order
                    .secrets
                    .iter()
                    .filter(|(name, _)| secrets.contains(name))
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                let buildkit = self.has_buildkit().await?;
                lines.say(if buildkit { "Building with BuildKit" } else { "Building with the classic builder" }).await;
                ImageBuild {
                    engine: &self.engine,
                    buildkit,
                    root: &root,
                    dockerfile: path,
                    context,
                    target: target.as_deref(),
                    arguments,
                    secrets,
                    registries: &order.registries,
                    bases: Bases { docker: &self.docker, egress: &self.settings.egress, add_from_network: self.settings.add_from_network },
                    frontends: &self.settings.frontends,
                    labels: &labels,
                    tag,
                    tenant: &order.tenant,
                    build_id: &build_id,
                    limits: &order.limits,
                    cache: order.cache,
                    lines,
                    cancel,
                }
                .run()
                .await?;
            }
            Builder::Static { folder, single_page } => {
                let server = self.fileserver();
                SiteBuild {
                    engine: &self.engine,
                    server: server.as_deref(),
                    root: &root,
                    folder,
                    single_page: *single_page,
                    labels: &labels,
                    tag,
                    limits: &order.limits,
                    lines,
                    cancel,
                }
                .run()
                .await?;
            }
            Builder::None => {
                return Err(Failure::new(
                    Cause::Configuration,
                    Step::Build,
                    "The service has files as its source but no builder.",
                    "Choose the builder “Dockerfile” or “static site”.",
                ));
            }
        }
        self.existing(tag, order).await.ok_or_else(|| failure::engine_gone("the image it built is not there"))
    }

    /// The image of this operation when an earlier try has made it.
    async fn existing(&self, tag: &str, order: &BuildOrder) -> Option<Built> {
        let image = self.docker.inspect_image(tag).await.ok()?;
        let labels = image.config.as_ref()?.labels.clone()?;
        let of_operation = labels.get(LABEL_DEPLOYMENT).is_some_and(|label| *label == order.operation.to_string());
        if !of_operation {
            return None;
        }
        Some(Built {
            image: image.id.clone()?,
            size_bytes: size(&image),
            revision: labels.get(LABEL_REVISION).cloned().unwrap_or_default(),
            commit_subject: labels.get(LABEL_SUBJECT).cloned(),
            commit_author: labels.get(LABEL_AUTHOR).cloned(),
            exposed_ports: exposed_ports(&image),
            builder: labels.get(LABEL_BUILDER).cloned().unwrap_or_default(),
        })
    }

    fn labels(&self, order: &BuildOrder, revision: &Revision) -> BTreeMap<String, String> {
        let builder = match &order.builder {
            Builder::Dockerfile { .. } => "dockerfile",
            Builder::Static { .. } => "static",
            Builder::None => "none",
        };
        let mut labels = BTreeMap::from([
            (LABEL_INSTANCE.to_owned(), self.settings.instance.clone()),
            (LABEL_TENANT.to_owned(), order.tenant.clone()),
            (LABEL_SERVICE.to_owned(), order.service.to_string()),
            (LABEL_DEPLOYMENT.to_owned(), order.operation.to_string()),
            (LABEL_REVISION.to_owned(), revision.id.clone()),
            (LABEL_BUILDER.to_owned(), builder.to_owned()),
        ]);
        for (name, value) in [(LABEL_SUBJECT, &revision.subject), (LABEL_AUTHOR, &revision.author)] {
            if let Some(value) = value {
                labels.insert(
                    name.to_owned(),
                    value.chars().filter(|character| !character.is_control()).take(LABEL_CHARACTERS_MAX).collect(),
                );
            }
        }
        labels
    }

    async fn has_buildkit(&self) -> Result<bool, Failure> {
        match self.settings.builder {
            BuilderChoice::BuildKit => return Ok(true),
            BuilderChoice::Classic => return Ok(false),
            BuilderChoice::Auto => {}
        }
        let version = self.docker.version().await.map_err(|error| failure::engine_gone(&error.to_string()))?;
        let is_docker = version.platform.as_ref().is_none_or(|platform| !platform.name.to_lowercase().contains("podman"));
        let api = version.api_version.unwrap_or_default();
        let minor: u32 = api.split_once('.').and_then(|(_, minor)| minor.parse().ok()).unwrap_or(0);
        Ok(is_docker && version.os.as_deref() == Some("linux") && minor >= 39)
    }

    fn fileserver(&self) -> Option<PathBuf> {
        self.settings.fileserver.clone().or_else(|| {
            let beside = std::env::current_exe().ok()?.parent().map(|folder: &Path| folder.join("seaway-fileserver"))?;
            beside.is_file().then_some(beside)
        })
    }
}

fn pulled(image: &ImageInspect) -> Result<Built, Failure> {
    let id = image.id.clone().ok_or_else(|| internal("the engine names no id for the image"))?;
    let digest = image
        .repo_digests
        .as_ref()
        .and_then(|digests| digests.first())
        .and_then(|digest| digest.split_once('@'))
        .map(|(_, digest)| digest.to_owned());
    Ok(Built {
        image: id.clone(),
        size_bytes: size(image),
        revision: digest.unwrap_or(id),
        commit_subject: None,
        commit_author: None,
        exposed_ports: exposed_ports(image),
        builder: "none".to_owned(),
    })
}

fn size(image: &ImageInspect) -> u64 {
    image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
}

fn exposed_ports(image: &ImageInspect) -> Vec<u16> {
    let mut ports: Vec<u16> = image
        .config
        .as_ref()
        .and_then(|config| config.exposed_ports.as_ref())
        .into_iter()
        .flatten()
        .filter_map(|port| port.strip_suffix("/tcp").unwrap_or(port).parse().ok())
        .collect();
    ports.sort_unstable();
    ports
}

fn internal(detail: &str) -> Failure {
    Failure::new(
        Cause::Internal,
        Step::Fetch,
        format!("The build could not be prepared: {detail}."),
        "Deploy again; if it happens again, tell the operator.",
    )
}

//! A finished image as a source: pulled from its registry or taken from the engine.

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::models::ImageInspect;
use bollard::query_parameters::CreateImageOptionsBuilder;
use domain::deployment::{Cause, Failure, Step};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::egress::{EgressPolicy, Purpose};
use crate::output::Lines;
use crate::protocol::RegistryCredential;

const REFERENCE_BYTES_MAX: usize = 512;
/// First part of the names of the images that builds make.
pub const BUILDS: &str = "seaway";

/// A reference taken apart: `[host[:port]/]path[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub host: Option<String>,
    pub name: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

impl Reference {
    /// # Errors
    /// The text is not a reference to an image.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let invalid = || {
            Failure::new(
                Cause::Image,
                Step::Fetch,
                format!("“{text}” is not the name of an image."),
                "Use a name of the form name:tag, host/name:tag or host/name@sha256:….",
            )
        };
        let plain = |text: &str, extra: &[u8]| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || extra.contains(&byte))
        };
        if text.len() > REFERENCE_BYTES_MAX || text.starts_with(['-', '/', '.']) {
            return Err(invalid());
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        if let Some(digest) = &digest {
            let hex = digest.strip_prefix("sha256:").ok_or_else(invalid)?;
            if hex.len() != 64 || !plain(hex, b"") || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(invalid());
            }
        }
        let (host, path) = match rest.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host.to_ascii_lowercase()), path),
            _ => (None, rest),
        };
        let (name, tag) = match path.rsplit_once(':') {
            Some((name, tag)) => (name, Some(tag.to_owned())),
            None => (path, None),
        };
        let tag_is_plain = tag.as_ref().is_none_or(|tag| {
            tag.len() <= 128
                && !tag.is_empty()
                && !tag.starts_with(['-', '.'])
                && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        });
        if !tag_is_plain || !plain(name, b"._-/") || name.split('/').any(|part| part.is_empty() || part.starts_with(['-', '.', '_'])) {
            return Err(invalid());
        }
        Ok(Self { host, name: name.to_owned(), tag, digest })
    }

    /// Name without tag, as the engine takes it.
    fn repository(&self) -> String {
        self.host.as_ref().map_or_else(|| self.name.clone(), |host| format!("{host}/{}", self.name))
    }

    /// Host and port of the registry; `None` for the engine's usual one.
    pub fn registry(&self) -> Option<(String, u16)> {
        let host = self.host.as_ref()?;
        Some(host.rsplit_once(':').and_then(|(name, port)| Some((name.to_owned(), port.parse().ok()?))).unwrap_or((host.clone(), 443)))
    }

    /// The whole reference, with `latest` when neither tag nor digest is given.
    pub fn full(&self) -> String {
        match &self.digest {
            Some(digest) => format!("{}@{digest}", self.repository()),
            None => format!("{}:{}", self.repository(), self.tag.as_deref().unwrap_or("latest")),
        }
    }
}

/// The image is one that a build of Seaway made on this server: it belongs to a service, and its name alone gives no right to it.
pub fn is_of_builds(reference: &Reference) -> bool {
    let on_this_server = reference.host.as_deref().is_none_or(|host| matches!(host, "docker.io" | "index.docker.io"));
    on_this_server && reference.name.split('/').next() == Some(BUILDS)
}

/// Pulls the image, or takes the engine's own when it is pinned by digest or has no registry in its name.
///
/// # Errors
/// [`Failure`] of class `Image` or `Engine`.
pub async fn fetch(
    docker: &Docker,
    egress: &EgressPolicy,
    text: &str,
    credential: Option<&RegistryCredential>,
    lines: &Lines<'_>,
    cancel: &CancellationToken,
) -> Result<ImageInspect, Failure> {
    let reference = Reference::parse(text)?;
    if is_of_builds(&reference) {
        return Err(image_failure(
            format!("The image {text} is one that this instance built for a service; such images are not for others."),
            "Push the image to a registry and name it there, or deploy the source that it was built from.",
        ));
    }
    let full = reference.full();
    if (reference.digest.is_some() || reference.host.is_none())
        && let Ok(image) = docker.inspect_image(&full).await
    {
        lines.say(&format!("Using the image {full} of this server")).await;
        return Ok(image);
    }
    if let Some((name, port)) = reference.registry() {
        egress.pin(&name, port, Purpose::Http).await.map_err(|error| {
            image_failure(
                format!("The registry cannot be reached: {error}."),
                "Use a public registry, or let the operator allow this network.",
            )
        })?;
    }
    lines.say(&format!("Pulling {full}")).await;
    tokio::select! {
        pulled = pull(docker, &reference, credential, lines) => pulled?,
        () = cancel.cancelled() => return Err(image_failure("The deployment was canceled while its image was pulled.", "Deploy again when you want it.")),
    }
    docker
        .inspect_image(&full)
        .await
        .map_err(|error| image_failure(format!("The image {full} was pulled but cannot be read: {error}."), "Deploy again."))
}

async fn pull(docker: &Docker, reference: &Reference, credential: Option<&RegistryCredential>, lines: &Lines<'_>) -> Result<(), Failure> {
    let tag = reference.digest.clone().or_else(|| reference.tag.clone()).unwrap_or_else(|| "latest".to_owned());
    let options = CreateImageOptionsBuilder::new().from_image(&reference.repository()).tag(&tag).build();
    let credentials = credential.map(|credential| DockerCredentials {
        username: Some(credential.username.clone()),
        password: Some(credential.password.reveal().clone()),
        serveraddress: reference.host.clone(),
        ..DockerCredentials::default()
    });
    let mut progress = docker.create_image(Some(options), None, credentials);
    while let Some(step) = progress.next().await {
        let step = step.map_err(|error| explain(reference, &error.to_string()))?;
        if let Some(error) = step.error_detail.and_then(|detail| detail.message) {
            return Err(explain(reference, &error));
        }
        // Progress of single layers comes in thousands of messages; their ends are enough.
        if let Some(status) = step.status.filter(|status| {
            !matches!(status.as_str(), "Downloading" | "Extracting" | "Waiting" | "Verifying Checksum" | "Pulling fs layer")
        }) {
            lines.say(&format!("{} {status}", step.id.unwrap_or_default())).await;
        }
    }
    Ok(())
}

fn image_failure(message: impl Into<String>, next_step: impl Into<String>) -> Failure {
    Failure::new(Cause::Image, Step::Fetch, message, next_step)
}

fn explain(reference: &Reference, error: &str) -> Failure {
    let full = reference.full();
    let text = error.to_lowercase();
    if text.contains("no space left") {
        return Failure::new(
            Cause::DiskFull,
            Step::Fetch,
            format!("The server's disk is full, so {full} could not be pulled."),
            "Free space on the server, then deploy again.",
        );
    }
    if ["denied", "unauthorized", "not found", "manifest unknown", "no basic auth", "authentication required"]
        .iter()
        .any(|phrase| text.contains(phrase))
    {
        return image_failure(
            format!("The image {full} does not exist, or this credential may not pull it."),
            "Check name and tag; for a private image choose a registry credential.",
        );
    }
    if ["cannot connect", "connect error", "os error 2", "os error 111"].iter().any(|phrase| text.contains(phrase)) {
        return Failure::new(
            Cause::Engine,
            Step::Fetch,
            "The container engine of the server does not answer.",
            "Start the engine on the server; `seaway doctor` shows its state.",
        );
    }
    image_failure(
        format!("The image {full} could not be pulled: {error}."),
        "Check that the registry is up and reachable from the server, then deploy again.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        let full = |text: &str| Reference::parse(text).map(|reference| reference.full()).ok();
        assert_eq!(full("nginx").as_deref(), Some("nginx:latest"));
        assert_eq!(full("seaway-test/base:1").as_deref(), Some("seaway-test/base:1"));
        assert_eq!(full("registry.example:5000/team/app:v1").as_deref(), Some("registry.example:5000/team/app:v1"));
        let digest = format!("app@sha256:{}", "a".repeat(64));
        assert_eq!(full(&digest).as_deref(), Some(digest.as_str()));
        let of_builds = |text: &str| is_of_builds(&Reference::parse(text).unwrap());
        assert!(of_builds("seaway/srv_1:dep_1") && of_builds("docker.io/seaway/srv_1:dep_1"));
        assert!(!of_builds("seaway-test/base") && !of_builds("registry.example/seaway/x"));
        for text in ["", "-x", "a b", "UPPER", "a:b:c", "a@sha256:1", "../x", "a//b", "a;id", "a:$(id)", "/a", "a:-x"] {
            assert_eq!(full(text), None, "{text}");
        }
    }
}

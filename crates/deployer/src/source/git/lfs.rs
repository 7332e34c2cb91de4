//! Large files: the batch protocol of Git LFS, spoken by ourselves, because the addresses in a server's answer are data
//! like any other and must pass the same checks as the repository's.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::deployment::{Cause, Failure, Step};
use futures_util::StreamExt;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::super::{SourceContext, canceled, disk_failure, size_failure};
use super::access::Access;
use super::failure;
use super::fetch::{git, run};
use super::url::{GitUrl, Scheme};
use crate::process::{Invocation, Program};
use crate::protocol::GitCredential;

const POINTER_BYTES_MAX: u64 = 1024;
const POINTER_HEAD: &str = "version https://git-lfs.github.com/spec/v1";
const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";
const BATCH_OBJECTS_MAX: usize = 100;
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);
const OBJECT_TIMEOUT: Duration = Duration::from_secs(600);

struct Pointer {
    path: PathBuf,
    oid: String,
    size_bytes: u64,
}

#[derive(Deserialize)]
struct Batch {
    #[serde(default)]
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    #[serde(default)]
    actions: Option<Actions>,
    #[serde(default)]
    error: Option<ObjectError>,
}

#[derive(Deserialize)]
struct Actions {
    download: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    href: String,
    #[serde(default)]
    header: std::collections::BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct ObjectError {
    message: String,
}

/// Replaces every pointer that git attributes to LFS with its content.
pub async fn fetch(
    context: &SourceContext<'_>,
    access: &Access,
    tree: &Path,
    url: &GitUrl,
    credential: Option<&GitCredential>,
) -> Result<(), Failure> {
    let root = tree.to_path_buf();
    let found = tokio::task::spawn_blocking(move || pointers(&root))
        .await
        .map_err(|error| lfs(format!("The search for large files ended: {error}.")))?;
    let pointers = attributed(context, access, tree, found).await?;
    let total: u64 = pointers.iter().map(|pointer| pointer.size_bytes).fold(0, u64::saturating_add);
    if total > context.limits.source_bytes_max {
        return Err(size_failure(context.limits));
    }
    if pointers.is_empty() {
        return Ok(());
    }
    context.lines.say(&format!("Fetching {} large files ({total} bytes)", pointers.len())).await;
    let endpoint = endpoint(context, access, url, credential).await?;
    for group in pointers.chunks(BATCH_OBJECTS_MAX) {
        let batch = ask(context, &endpoint, group).await?;
        for pointer in group {
            let object =
                batch.objects.iter().find(|object| object.oid == pointer.oid).ok_or_else(|| missing(pointer, "not in the answer"))?;
            if let Some(error) = &object.error {
                return Err(missing(pointer, &error.message));
            }
            let action = object
                .actions
                .as_ref()
                .and_then(|actions| actions.download.as_ref())
                .ok_or_else(|| missing(pointer, "no address to download it from"))?;
            tokio::select! {
                done = download(context, tree, pointer, action) => done?,
                () = context.cancel.cancelled() => return Err(canceled()),
            }
        }
    }
    Ok(())
}

fn lfs(message: impl Into<String>) -> Failure {
    Failure::new(
        Cause::Clone,
        Step::Fetch,
        message,
        "Check that the large files are pushed (`git lfs push --all`) and that the credential may read them.",
    )
}

fn missing(pointer: &Pointer, reason: &str) -> Failure {
    lfs(format!("The large file “{}” is not available: {reason}.", pointer.path.display()))
}

fn pointers(tree: &Path) -> Vec<Pointer> {
    let mut found = Vec::new();
    let mut folders = vec![tree.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() && entry.file_name() != ".git" {
                folders.push(entry.path());
            } else if metadata.is_file() && metadata.len() <= POINTER_BYTES_MAX {
                let mut text = String::new();
                let read = std::fs::File::open(entry.path()).and_then(|mut file| file.read_to_string(&mut text));
                if read.is_ok()
                    && let Some((oid, size_bytes)) = parse(&text)
                {
                    let path = entry.path().strip_prefix(tree).map(Path::to_path_buf).unwrap_or_default();
                    found.push(Pointer { path, oid, size_bytes });
                }
            }
        }
    }
    found
}

fn parse(text: &str) -> Option<(String, u64)> {
    let mut lines = text.lines();
    if lines.next()? != POINTER_HEAD {
        return None;
    }
    let mut oid = None;
    let mut size = None;
    for line in lines {
        if let Some(hash) = line.strip_prefix("oid sha256:") {
            oid = Some(hash.to_owned()).filter(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
        } else if let Some(bytes) = line.strip_prefix("size ") {
            size = bytes.parse().ok();
        }
    }
    Some((oid?, size?))
}

/// Keeps the pointers whose path has the attribute `filter=lfs`.
async fn attributed(context: &SourceContext<'_>, access: &Access, tree: &Path, found: Vec<Pointer>) -> Result<Vec<Pointer>, Failure> {
    if found.is_empty() {
        return Ok(found);
    }
    let input: Vec<u8> =
        found.iter().flat_map(|pointer| pointer.path.as_os_str().as_encoded_bytes().iter().copied().chain(std::iter::once(0))).collect();
    let finished = run(
        context,
        git(access, tree).arguments(["check-attr", "--stdin", "-z", "filter"]).input(input).output_bytes_max(ANSWER_BYTES_MAX),
    )
    .await?;
    let text = finished.stdout_text();
    let words: Vec<&str> = text.split('\0').collect();
    let managed: std::collections::HashSet<&str> =
        words.chunks(3).filter(|entry| entry.get(2) == Some(&"lfs")).filter_map(|entry| entry.first().copied()).collect();
    Ok(found.into_iter().filter(|pointer| managed.contains(pointer.path.to_string_lossy().as_ref())).collect())
}

/// Address and headers of the batch interface.
async fn endpoint(
    context: &SourceContext<'_>,
    access: &Access,
    url: &GitUrl,
    credential: Option<&GitCredential>,
) -> Result<Action, Failure> {
    if url.scheme == Scheme::Ssh {
        return authenticate(context, access, url).await;
    }
    let text = url.text();
    let base = text.trim_end_matches('/');
    let base = if base.ends_with(".git") { base.to_owned() } else { format!("{base}.git") };
    let mut header = std::collections::BTreeMap::new();
    if let Some(GitCredential::Token { username, token }) = credential {
        use base64::Engine as _;
        let pair = format!("{}:{}", if username.is_empty() { "git" } else { username }, token.reveal());
        header.insert("Authorization".to_owned(), format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)));
    }
    Ok(Action { href: format!("{base}/info/lfs"), header })
}

/// Asks the ssh host for the address, as git-lfs does.
async fn authenticate(context: &SourceContext<'_>, access: &Access, url: &GitUrl) -> Result<Action, Failure> {
    let config = access.ssh_config().ok_or_else(failure::ssh_without_key)?;
    let user = url.user.clone().unwrap_or_else(|| "git".to_owned());
    // The remote side runs a shell: the path is quoted for it as git does.
    let quoted = format!("'{}'", url.path.replace('\'', r"'\''").replace('!', r"'\!'"));
    let invocation = Invocation::new(Program::Ssh)
        .argument("-F")
        .argument(config.display().to_string())
        .arguments(["-p", &url.port.to_string(), "-l", &user, "--", &url.host, &format!("git-lfs-authenticate {quoted} download")])
        .timeout(BATCH_TIMEOUT);
    let finished = run(context, invocation).await?;
    serde_json::from_slice(&finished.stdout).map_err(|_invalid| lfs("The repository's host offers no large files over ssh."))
}

async fn ask(context: &SourceContext<'_>, endpoint: &Action, group: &[Pointer]) -> Result<Batch, Failure> {
    let body = serde_json::json!({
        "operation": "download",
        "transfers": ["basic"],
        "hash_algo": "sha256",
        "objects": group.iter().map(|pointer| serde_json::json!({ "oid": pointer.oid, "size": pointer.size_bytes })).collect::<Vec<_>>(),
    });
    let url = address(&format!("{}/objects/batch", endpoint.href.trim_end_matches('/')))?;
    let client = context.egress.client(&url, BATCH_TIMEOUT).await.map_err(|error| failure::egress(&error))?;
    let mut request = client.post(url).header("accept", MEDIA_TYPE).header("content-type", MEDIA_TYPE).body(body.to_string());
    for (name, value) in &endpoint.header {
        request = request.header(name, value);
    }
    let answer = request.send().await.map_err(|_unreachable| lfs("The store of the large files does not answer."))?;
    if !answer.status().is_success() {
        return Err(lfs(format!("The store of the large files answers {}.", answer.status().as_u16())));
    }
    let mut bytes = Vec::new();
    let mut stream = answer.bytes_stream();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk.map_err(|_broken| lfs("The answer of the store of the large files broke off."))?);
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(lfs("The answer of the store of the large files is too long."));
        }
    }
    serde_json::from_slice(&bytes).map_err(|_invalid| lfs("The store of the large files answers in an unknown form."))
}

async fn download(context: &SourceContext<'_>, tree: &Path, pointer: &Pointer, action: &Action) -> Result<(), Failure> {
    let url = address(&action.href)?;
    let client = context.egress.client(&url, OBJECT_TIMEOUT).await.map_err(|error| failure::egress(&error))?;
    let mut request = client.get(url);
    for (name, value) in &action.header {
        request = request.header(name, value);
    }
    let answer = request.send().await.map_err(|_unreachable| missing(pointer, "the store does not answer"))?;
    if !answer.status().is_success() {
        return Err(missing(pointer, &format!("the store answers {}", answer.status().as_u16())));
    }
    let written = |error: std::io::Error| disk_failure(&error, "write a large file");
    // The pointer is a plain file of the checked-out tree; beside it the content grows and then takes its place.
    let place = tree.join(&pointer.path);
    let folder = place.parent().unwrap_or(tree);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(written)?;
    let mut hash = Sha256::new();
    let mut size_bytes = 0u64;
    let mut stream = answer.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_broken| missing(pointer, "the download broke off"))?;
        size_bytes = size_bytes.saturating_add(chunk.len() as u64);
        if size_bytes > pointer.size_bytes {
            return Err(missing(pointer, "it is longer than its pointer says"));
        }
        hash.update(&chunk);
        file.write_all(&chunk).map_err(written)?;
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if size_bytes != pointer.size_bytes || digest != pointer.oid.to_ascii_lowercase() {
        return Err(missing(pointer, "its content is not what its pointer says"));
    }
    let mode = std::fs::metadata(&place).map_err(written)?.permissions();
    file.as_file().set_permissions(mode).map_err(written)?;
    file.persist(&place).map_err(|error| disk_failure(&error.error, "write a large file"))?;
    Ok(())
}

fn address(text: &str) -> Result<reqwest::Url, Failure> {
    reqwest::Url::parse(text).map_err(|_invalid| lfs("The store of the large files names an address that cannot be read."))
}

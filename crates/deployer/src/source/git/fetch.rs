//! Fetches one commit, as shallow as the server lets us.

use std::path::Path;
use std::time::Duration;

use domain::deployment::Failure;

use super::super::{SourceContext, canceled, disk_failure, size_failure};
use super::access::Access;
use super::failure;
use super::reference::Want;
use super::url::{GitUrl, Scheme};
use crate::egress::without_credentials;
use crate::process::{Finished, FolderLimit, Invocation, Program, RunError};
use crate::protocol::GitCredential;

const FETCH_TIMEOUT: Duration = Duration::from_secs(900);
const LOCAL_TIMEOUT: Duration = Duration::from_secs(300);
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);
const REDIRECTS_MAX: usize = 3;
/// Depths that are tried when a server does not hand out the commit itself; 0 is everything.
const DEPTHS: [u32; 4] = [1, 50, 1000, 0];
/// Files of git's own folder.
const GIT_FILES: u64 = 500;

/// Makes the repository in `tree` and fetches; `FETCH_HEAD` is the commit. Answers where redirects led and the access to it.
pub async fn fetch(
    context: &SourceContext<'_>,
    tree: &Path,
    mut url: GitUrl,
    credential: Option<&GitCredential>,
    want: &Want,
) -> Result<(GitUrl, Access), Failure> {
    let mut credential = credential;
    for _ in 0..=REDIRECTS_MAX {
        let access = Access::open(context, &url, credential).await?;
        init(context, &access, tree).await?;
        let refused = match attempt(context, &access, tree, &url, want).await? {
            None => return Ok((url, access)),
            Some(refused) => refused,
        };
        match redirected(context, &url, &refused).await? {
            Some(next) => {
                if next.host != url.host || next.port != url.port || next.scheme != url.scheme {
                    // A token is for the host it was given for.
                    credential = None;
                }
                context.lines.say(&format!("The repository has moved to {}", next.text())).await;
                url = next;
            }
            None => return Err(explain(context, &url, &access, want, &refused).await),
        }
    }
    Err(failure::redirects(&url))
}

async fn init(context: &SourceContext<'_>, access: &Access, tree: &Path) -> Result<(), Failure> {
    if tree.join(".git").exists() {
        return Ok(());
    }
    std::fs::create_dir_all(tree).map_err(|error| disk_failure(&error, "make a folder for the source"))?;
    let finished = run(context, git(access, tree).arguments(["init", "--quiet", "--template=", "--", "."])).await?;
    if finished.success() { Ok(()) } else { Err(failure::git(&finished, None)) }
}

/// `None` when the commit is there, else the answer of the last try.
async fn attempt(
    context: &SourceContext<'_>,
    access: &Access,
    tree: &Path,
    url: &GitUrl,
    want: &Want,
) -> Result<Option<Finished>, Failure> {
    let shallow = |refspec: String| fetch_once(context, access, tree, url, 1, refspec);
    match want {
        Want::Default => Ok(refused(shallow("HEAD".into()).await?)),
        Want::Named(name) if name.starts_with("refs/") => Ok(refused(shallow(name.clone()).await?)),
        Want::Named(name) => {
            let branch = shallow(format!("refs/heads/{name}")).await?;
            if branch.success() || !failure::is_unknown_reference(&branch) {
                return Ok(refused(branch));
            }
            Ok(refused(shallow(format!("refs/tags/{name}")).await?))
        }
        Want::Commit { id, named } => {
            let direct = shallow(id.clone()).await?;
            if direct.success() || !failure::is_commit_not_offered(&direct) {
                return Ok(refused(direct));
            }
            deepen(context, access, tree, url, id, named.as_deref()).await
        }
    }
}

/// For servers that hand out branches and tags only: fetches them deeper and deeper until the commit is there.
async fn deepen(
    context: &SourceContext<'_>,
    access: &Access,
    tree: &Path,
    url: &GitUrl,
    id: &str,
    named: Option<&str>,
) -> Result<Option<Finished>, Failure> {
    let mut last = None;
    let refspecs = named
        .map(|name| format!("+refs/heads/{name}:refs/seaway/branch"))
        .into_iter()
        .chain(std::iter::once("+refs/*:refs/seaway/all/*".to_owned()));
    for refspec in refspecs {
        for depth in DEPTHS {
            let finished = fetch_once(context, access, tree, url, depth, refspec.clone()).await?;
            if !finished.success() {
                last = Some(finished);
                break;
            }
            let there =
                run(context, git(access, tree).arguments(["cat-file", "-e", "--end-of-options"]).argument(format!("{id}^{{commit}}")))
                    .await?;
            if there.success() {
                let commit = format!("{id}\t\tcommit\n");
                std::fs::write(tree.join(".git/FETCH_HEAD"), commit).map_err(|error| disk_failure(&error, "note the commit"))?;
                return Ok(None);
            }
            last = Some(there);
        }
    }
    Ok(last)
}

async fn fetch_once(
    context: &SourceContext<'_>,
    access: &Access,
    tree: &Path,
    url: &GitUrl,
    depth: u32,
    refspec: String,
) -> Result<Finished, Failure> {
    let mut invocation =
        git(access, tree).arguments(["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-gc", "--force"]);
    if depth > 0 {
        invocation = invocation.argument(format!("--depth={depth}"));
    } else if tree.join(".git/shallow").exists() {
        invocation = invocation.argument("--unshallow");
    }
    invocation = invocation.arguments(["--", &url.text(), &refspec]).timeout(FETCH_TIMEOUT).folder_limit(FolderLimit {
        folder: tree.to_path_buf(),
        size_bytes_max: context.limits.source_bytes_max,
        files_max: context.limits.source_files_max.saturating_add(GIT_FILES),
    });
    run(context, invocation).await
}

fn refused(finished: Finished) -> Option<Finished> {
    (!finished.success()).then_some(finished)
}

/// Checks a commit out and answers its full id.
pub async fn checkout(context: &SourceContext<'_>, access: &Access, tree: &Path, revision: &'static str) -> Result<String, Failure> {
    let invocation =
        git(access, tree).arguments(["rev-parse", "--verify", "--quiet", "--end-of-options"]).argument(format!("{revision}^{{commit}}"));
    let parsed = run(context, invocation).await?;
    if !parsed.success() {
        return Err(failure::git(&parsed, None));
    }
    let commit = parsed.stdout_text().trim().to_owned();
    let limit = FolderLimit {
        folder: tree.to_path_buf(),
        size_bytes_max: context.limits.source_bytes_max.saturating_mul(2),
        files_max: context.limits.source_files_max.saturating_add(GIT_FILES),
    };
    let invocation = git(access, tree)
        .arguments(["checkout", "--quiet", "--force", "--detach", &commit, "--"])
        .timeout(LOCAL_TIMEOUT)
        .folder_limit(limit);
    let finished = run(context, invocation).await?;
    if finished.success() { Ok(commit) } else { Err(failure::git(&finished, None)) }
}

pub fn git(access: &Access, tree: &Path) -> Invocation {
    Invocation::new(Program::Git).variables(access.environment()).directory(tree)
}

/// Runs and turns an end from outside into a failure; a non-zero exit is for the caller to judge.
pub async fn run(context: &SourceContext<'_>, invocation: Invocation) -> Result<Finished, Failure> {
    context.runner.run(invocation, context.cancel).await.map_err(|error| match error {
        RunError::Canceled { .. } => canceled(),
        RunError::FolderLimit { .. } => size_failure(context.limits),
        RunError::TimedOut { timeout, .. } => failure::timed_out(timeout),
        other => failure::tool(&other),
    })
}

/// Where a refused http request was sent to, if it was a redirect. The new address passes the same checks.
async fn redirected(context: &SourceContext<'_>, url: &GitUrl, finished: &Finished) -> Result<Option<GitUrl>, Failure> {
    if url.scheme == Scheme::Ssh || !failure::is_redirect(finished) {
        return Ok(None);
    }
    let probe = format!("{}/info/refs?service=git-upload-pack", url.text().trim_end_matches('/'));
    let Ok(probe) = reqwest::Url::parse(&probe) else { return Ok(None) };
    let client = context.egress.client(&probe, PROBE_TIMEOUT).await.map_err(|error| failure::egress(&error))?;
    let Ok(answer) = client.get(probe.clone()).send().await else { return Ok(None) };
    let Some(location) = answer.headers().get(http::header::LOCATION).and_then(|value| value.to_str().ok()) else { return Ok(None) };
    let Ok(target) = probe.join(location) else { return Ok(None) };
    let Some(text) = without_credentials(&target).strip_suffix("/info/refs").map(str::to_owned) else { return Ok(None) };
    GitUrl::parse(&text, context.egress.plain_http).map(Some).map_err(|error| failure::url(&error))
}

/// Turns git's answer into a failure; asks the host for its key when it is not trusted, and for its branches when the
/// wanted one is unknown.
async fn explain(context: &SourceContext<'_>, url: &GitUrl, access: &Access, want: &Want, refused: &Finished) -> Failure {
    if url.scheme == Scheme::Ssh && failure::is_host_key(refused) {
        let Some(address) = access.pinned.addresses.first() else { return failure::git(refused, Some(url)) };
        let scan = Invocation::new(Program::SshKeyscan)
            .arguments(["-T", "10", "-p"])
            .argument(address.port().to_string())
            .arguments(["--", &address.ip().to_string()])
            .timeout(PROBE_TIMEOUT);
        let shown = context.runner.run(scan, context.cancel).await.map(|finished| finished.stdout_text()).unwrap_or_default();
        return failure::host_key(refused, url, &super::known_hosts::shown(&shown, &url.host, url.port));
    }
    if failure::is_unknown_reference(refused) || failure::is_commit_not_offered(refused) {
        let list = git(access, Path::new("/")).arguments(["ls-remote", "--quiet", "--heads", "--", &url.text()]).timeout(PROBE_TIMEOUT);
        let heads = context.runner.run(list, context.cancel).await.map(|finished| finished.stdout_text()).unwrap_or_default();
        return failure::unknown(want, &heads);
    }
    failure::git(refused, Some(url))
}

//! One exact commit of a git repository, fetched with git itself in an empty environment.

mod access;
mod failure;
mod fetch;
mod known_hosts;
mod lfs;
mod reference;
mod submodules;
mod url;

pub use access::Access;
pub use reference::{ReferenceError, check_reference};
pub use url::{GitUrl, Scheme, UrlError};

use std::path::Path;

use domain::deployment::{Cause, Failure, Step};

use super::{Fetched, Revision, SourceContext, TREE, disk_failure, job_folder, tree};
use crate::process::{Invocation, Program};
use crate::protocol::GitCredential;

/// Which revision of which repository.
pub struct GitOrder<'a> {
    pub url: &'a str,
    pub reference: Option<&'a str>,
    pub commit: Option<&'a str>,
    pub credential: Option<&'a GitCredential>,
    pub submodules: bool,
    pub lfs: bool,
}

/// Fetches the commit with its submodules and large files; `.git` is gone from the result.
///
/// # Errors
/// [`Failure`] of class `Clone`, `Source` or `DiskFull`; nothing is left on disk.
pub async fn fetch(context: &SourceContext<'_>, order: &GitOrder<'_>) -> Result<Fetched, Failure> {
    let url = GitUrl::parse(order.url, context.egress.plain_http).map_err(|error| failure::url(&error))?;
    let want = reference::Want::new(order.reference, order.commit).map_err(|error| failure::reference(&error))?;
    let folder = job_folder(context)?;
    let tree = folder.path().join(TREE);
    context.lines.say(&format!("Fetching {} ({want})", url.text())).await;
    let (url, access) = fetch::fetch(context, &tree, url, order.credential, &want).await?;
    let commit = fetch::checkout(context, &access, &tree, "FETCH_HEAD").await?;
    let revision = describe(context, &access, &tree, &commit).await?;
    context.lines.say(&format!("Commit {commit} {}", revision.subject.as_deref().unwrap_or_default())).await;
    if order.submodules {
        submodules::fetch(context, &access, &tree, &url, order.credential, &commit).await?;
    }
    if order.lfs {
        lfs::fetch(context, &access, &tree, &url, order.credential).await?;
    }
    let limits = context.limits.clone();
    tokio::task::spawn_blocking(move || {
        remove_git(&tree).map_err(|error| disk_failure(&error, "remove the git folder"))?;
        tree::check(&tree, &limits)
    })
    .await
    .map_err(|error| Failure::new(Cause::Internal, Step::Fetch, format!("The check of the source ended: {error}."), "Deploy again."))??;
    Ok(Fetched { folder, revision })
}

/// Removes `.git` of the repository; those of submodules are files or folders of the same name.
fn remove_git(tree: &Path) -> std::io::Result<()> {
    let git = tree.join(".git");
    let metadata = match std::fs::symlink_metadata(&git) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if metadata.is_dir() { std::fs::remove_dir_all(git) } else { std::fs::remove_file(git) }
}

async fn describe(context: &SourceContext<'_>, access: &Access, tree: &Path, commit: &str) -> Result<Revision, Failure> {
    let invocation = Invocation::new(Program::Git)
        .arguments(["log", "-1", "--no-show-signature", "--format=%s%x00%an%x00%aI", commit, "--"])
        .variables(access.environment())
        .directory(tree);
    let finished = fetch::run(context, invocation).await?;
    let text = finished.stdout_text();
    let mut parts = text.trim_end_matches('\n').split('\0').map(|part| Some(part.to_owned()).filter(|part| !part.is_empty()));
    Ok(Revision { id: commit.to_owned(), subject: parts.next().flatten(), author: parts.next().flatten(), date: parts.next().flatten() })
}

//! Submodules: each address passes the same checks as the repository's own; git's own recursion is not used.

use std::path::{Component, Path, PathBuf};

use domain::deployment::Failure;

use super::super::{SourceContext, source_failure};
use super::access::Access;
use super::fetch::{checkout, fetch as fetch_commit, git, run};
use super::reference::Want;
use super::url::GitUrl;
use super::{failure, remove_git};
use crate::process::measure;
use crate::protocol::GitCredential;

const DEPTH_MAX: usize = 5;
const COUNT_MAX: usize = 100;

struct Pending {
    tree: PathBuf,
    url: GitUrl,
    commit: String,
    depth: usize,
}

/// Fetches every submodule of the checked-out commit, and theirs.
pub async fn fetch(
    context: &SourceContext<'_>,
    access: &Access,
    tree: &Path,
    url: &GitUrl,
    credential: Option<&GitCredential>,
    commit: &str,
) -> Result<(), Failure> {
    let mut pending = vec![Pending { tree: tree.to_path_buf(), url: url.clone(), commit: commit.to_owned(), depth: 0 }];
    let mut count = 0;
    while let Some(parent) = pending.pop() {
        for (name, path, address) in listed(context, access, &parent.tree).await? {
            count += 1;
            if count > COUNT_MAX || parent.depth >= DEPTH_MAX {
                return Err(source_failure(
                    format!("The repository has more than {COUNT_MAX} submodules or nests them deeper than {DEPTH_MAX}."),
                    "Use fewer submodules.",
                ));
            }
            let explain = |failure: Failure| Failure { message: format!("Submodule “{name}”: {}", failure.message), ..failure };
            let Some(id) = linked_commit(context, access, &parent, &path).await? else { continue };
            let place = confined(&parent.tree, &path)?;
            let url = parent.url.join(&address, context.egress.plain_http).map_err(|error| explain(failure::url(&error)))?;
            let same_host = url.host == parent.url.host && url.port == parent.url.port && url.scheme == parent.url.scheme;
            let credential = credential.filter(|_| same_host);
            context.lines.say(&format!("Fetching submodule {path} from {}", url.text())).await;
            let want = Want::new(None, Some(&id)).map_err(|error| explain(failure::reference(&error)))?;
            let (url, own_access) = Box::pin(fetch_commit(context, &place, url, credential, &want)).await.map_err(explain)?;
            let commit = checkout(context, &own_access, &place, "FETCH_HEAD").await.map_err(explain)?;
            let size = measure(tree);
            if size.size_bytes > context.limits.source_bytes_max.saturating_mul(2)
                || size.files > context.limits.source_files_max.saturating_mul(2)
            {
                return Err(super::super::size_failure(context.limits));
            }
            pending.push(Pending { tree: place, url, commit, depth: parent.depth + 1 });
        }
        if parent.depth > 0 {
            remove_git(&parent.tree).map_err(|error| super::disk_failure(&error, "remove the git folder of a submodule"))?;
        }
    }
    Ok(())
}

/// Name, path and address of each submodule in `.gitmodules`, which must be a plain file.
async fn listed(context: &SourceContext<'_>, access: &Access, tree: &Path) -> Result<Vec<(String, String, String)>, Failure> {
    match std::fs::symlink_metadata(tree.join(".gitmodules")) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(source_failure("“.gitmodules” is a link, not a file.", "Replace the link with the file itself.")),
        Err(_) => return Ok(Vec::new()),
    }
    let invocation = git(access, tree).arguments([
        "config",
        "--file",
        ".gitmodules",
        "--no-includes",
        "--null",
        "--get-regexp",
        r"^submodule\..*\.(path|url)$",
    ]);
    let finished = run(context, invocation).await?;
    let text = finished.stdout_text();
    let mut modules: std::collections::BTreeMap<String, (Option<String>, Option<String>)> = std::collections::BTreeMap::new();
    for entry in text.split('\0') {
        let Some((key, value)) = entry.split_once('\n') else { continue };
        let Some((name, field)) = key.strip_prefix("submodule.").and_then(|rest| rest.rsplit_once('.')) else { continue };
        let module = modules.entry(name.to_owned()).or_default();
        if field == "path" {
            module.0 = Some(value.to_owned());
        } else {
            module.1 = Some(value.to_owned());
        }
    }
    Ok(modules.into_iter().filter_map(|(name, (path, url))| Some((name, path?, url?))).collect())
}

/// The commit that the parent's tree names for the path; `None` when it is no submodule there.
async fn linked_commit(context: &SourceContext<'_>, access: &Access, parent: &Pending, path: &str) -> Result<Option<String>, Failure> {
    let invocation =
        git(access, &parent.tree).arguments(["ls-tree", "-z", "--full-tree", &parent.commit, "--"]).argument(format!(":(literal){path}"));
    let invocation = invocation.variable("GIT_LITERAL_PATHSPECS", "0");
    let finished = run(context, invocation).await?;
    let text = finished.stdout_text();
    Ok(text.split('\0').find_map(|entry| {
        let (header, name) = entry.split_once('\t')?;
        let mut words = header.split(' ');
        (words.next() == Some("160000") && name == path).then(|| words.nth(1).map(str::to_owned)).flatten()
    }))
}

/// A submodule's folder: inside the tree, through real folders only.
fn confined(tree: &Path, path: &str) -> Result<PathBuf, Failure> {
    let refused = || source_failure(format!("The submodule path “{path}” leaves the source."), "Move the submodule inside the repository.");
    let mut place = tree.to_path_buf();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) if name != ".git" => place.push(name),
            _ => return Err(refused()),
        }
        match std::fs::symlink_metadata(&place) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(refused()),
            Err(_) => return Err(refused()),
        }
    }
    if place == tree { Err(refused()) } else { Ok(place) }
}

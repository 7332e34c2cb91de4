//! The git repository that this folder is, read from its files: where it comes from and which branch is checked out.

use std::path::{Path, PathBuf};

/// The remote that `init` takes.
const REMOTE: &str = "origin";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Without a password in it.
    pub url: String,
    pub branch: Option<String>,
    /// A password stood in the address; it is not taken along.
    pub had_password: bool,
}

impl Remote {
    /// Over ssh: needs a deploy key.
    pub fn is_ssh(&self) -> bool {
        !self.url.starts_with("https://")
    }

    /// `app` of `https://host/me/app.git`.
    pub fn name(&self) -> Option<&str> {
        let last = self.url.trim_end_matches('/').rsplit(['/', ':']).next()?;
        Some(last.trim_end_matches(".git")).filter(|name| !name.is_empty())
    }
}

/// The remote `origin` of the repository whose top is this folder; `None` when it is none, or comes from a place that an
/// instance cannot fetch from (a path, plain http).
pub fn remote_of(folder: &Path) -> Option<Remote> {
    let git = git_folder(&folder.join(".git"))?;
    let shared = std::fs::read_to_string(git.join("commondir")).map_or_else(|_| git.clone(), |text| git.join(text.trim()));
    let url = url_in(&std::fs::read_to_string(shared.join("config")).ok()?)?;
    let head = std::fs::read_to_string(git.join("HEAD")).unwrap_or_default();
    let branch = head.trim().strip_prefix("ref: refs/heads/").map(str::to_owned);
    let (url, had_password) = without_password(&url)?;
    Some(Remote { url, branch, had_password })
}

/// `.git` is a folder, or in a work tree a file that names one.
fn git_folder(path: &Path) -> Option<PathBuf> {
    if path.is_dir() {
        return Some(path.to_owned());
    }
    let text = std::fs::read_to_string(path).ok()?;
    Some(path.parent()?.join(text.strip_prefix("gitdir:")?.trim()))
}

fn url_in(config: &str) -> Option<String> {
    let mut inside = false;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == format!("[remote \"{REMOTE}\"]");
        } else if inside
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == "url"
        {
            return Some(value.trim().trim_matches('"').to_owned());
        }
    }
    None
}

fn without_password(url: &str) -> Option<(String, bool)> {
    if let Some(rest) = url.strip_prefix("https://") {
        let (authority, path) = rest.split_once('/')?;
        return Some(match authority.rsplit_once('@') {
            Some((_, host)) => (format!("https://{host}/{path}"), true),
            None => (url.to_owned(), false),
        });
    }
    let scp = !url.contains("://") && url.split_once(':').is_some_and(|(host, path)| host.contains('@') && !path.is_empty());
    (url.starts_with("ssh://") || scp).then(|| (url.to_owned(), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(url: &str) -> Option<Remote> {
        let folder = tempfile::tempdir().unwrap();
        let git = folder.path().join(".git");
        std::fs::create_dir(&git).unwrap();
        let config = format!(
            "[core]\n\tbare = false\n[remote \"upstream\"]\n\turl = https://no/no.git\n[remote \"origin\"]\n\turl = {url}\n\tfetch = x\n"
        );
        std::fs::write(git.join("config"), config).unwrap();
        std::fs::write(git.join("HEAD"), "ref: refs/heads/feature/one\n").unwrap();
        remote_of(folder.path())
    }

    #[test]
    fn the_origin_is_found_and_loses_its_password() {
        let found = remote("https://ada:ghp_secret@git.example.org/ada/desk.git").unwrap();
        assert_eq!(found.url, "https://git.example.org/ada/desk.git");
        assert!(found.had_password && !found.is_ssh());
        assert_eq!((found.branch.as_deref(), found.name()), (Some("feature/one"), Some("desk")));
        let found = remote("git@git.example.org:ada/desk.git").unwrap();
        assert!(found.is_ssh() && found.name() == Some("desk") && found.url == "git@git.example.org:ada/desk.git");
        assert!(remote("ssh://git@git.example.org:2222/ada/desk").unwrap().is_ssh());
        for unreachable in ["/srv/git/desk.git", "http://git.example.org/a.git", "../desk", "file:///x"] {
            assert_eq!(remote(unreachable), None, "{unreachable}");
        }
        assert_eq!(remote_of(tempfile::tempdir().unwrap().path()), None);
    }
}

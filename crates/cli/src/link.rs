//! The service of a folder: `.seaway/link.toml` in it or above it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

pub const FOLDER: &str = ".seaway";
const FILE: &str = "link.toml";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    pub url: String,
    pub organization: String,
    pub project: String,
    pub environment: String,
    pub service: String,
    /// For people.
    pub name: String,
}

/// The link of the folder or of the nearest one above, with the linked folder.
pub fn find(from: &Path) -> Result<Option<(PathBuf, Link)>> {
    for folder in from.ancestors() {
        let path = folder.join(FOLDER).join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let link = toml::from_str(&text)
                    .map_err(|_| Failure::other(format!("{} is not understood; run `seaway link` again", path.display())))?;
                return Ok(Some((folder.to_owned(), link)));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::other(format!("{}: {error}", path.display()))),
        }
    }
    Ok(None)
}

pub fn write(folder: &Path, link: &Link) -> Result<PathBuf> {
    let path = folder.join(FOLDER).join(FILE);
    let fail = |error: std::io::Error| Failure::other(format!("{}: {error}", path.display()));
    let text = toml::to_string(link).map_err(|error| Failure::other(error.to_string()))?;
    std::fs::create_dir_all(folder.join(FOLDER)).map_err(fail)?;
    std::fs::write(&path, text).map_err(fail)?;
    Ok(path)
}

pub fn remove(folder: &Path) -> Result<bool> {
    let path = folder.join(FOLDER).join(FILE);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::other(format!("{}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_found_from_below_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("src/deep");
        std::fs::create_dir_all(&below).unwrap();
        assert!(find(&below).unwrap().is_none());
        let text = |text: &str| text.to_owned();
        let link = Link {
            url: text("https://x"),
            organization: text("org_1"),
            project: text("prj_1"),
            environment: text("env_1"),
            service: text("svc_1"),
            name: text("a/b/c"),
        };
        write(folder.path(), &link).unwrap();
        assert_eq!(find(&below).unwrap().unwrap(), (folder.path().to_owned(), link));
        assert!(remove(folder.path()).unwrap() && !remove(folder.path()).unwrap());
    }
}

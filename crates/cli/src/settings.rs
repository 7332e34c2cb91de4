//! Instances and tokens of this person: `~/.config/seaway/config.toml`, mode 0600.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The instance that verbs talk to.
    pub current: Option<String>,
    pub instances: BTreeMap<String, Instance>,
}

#[derive(Serialize, Deserialize, Clone)]
pub struct Instance {
    pub token: String,
    /// So that `logout` can revoke it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// Chosen by `orgs switch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Instance")
    }
}

/// `$XDG_CONFIG_HOME/seaway/config.toml`, or below `$HOME/.config`.
pub fn path() -> Result<PathBuf> {
    let folder = std::env::var_os("XDG_CONFIG_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    folder.map(|folder| folder.join("seaway/config.toml")).ok_or_else(|| Failure::other("neither HOME nor XDG_CONFIG_HOME is set"))
}

impl Settings {
    /// Empty when there is no file yet.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::other(format!("{}: {error}", path.display()))),
        };
        // The parser's own message would show the line with the token.
        toml::from_str(&text).map_err(|_| Failure::other(format!("{} is not understood; remove it and log in again", path.display())))
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let fail = |error: std::io::Error| Failure::other(format!("{}: {error}", path.display()));
        let text = toml::to_string(self).map_err(|error| Failure::other(error.to_string()))?;
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fail)?;
        }
        let temporary = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary).map_err(fail)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fail)?;
        std::fs::rename(&temporary, path).map_err(fail)
    }
}

/// `example.org/` becomes `https://example.org`; a loopback address keeps plain HTTP.
pub fn normal_url(text: &str) -> Result<String> {
    let text = text.trim().trim_end_matches('/');
    let with_scheme = match text.contains("://") {
        true => text.to_owned(),
        false if is_local(text) => format!("http://{text}"),
        false => format!("https://{text}"),
    };
    let url: reqwest::Url =
        with_scheme.parse().map_err(|_| Failure::usage(format!("{text:?} is not an address such as https://seaway.example.org")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(Failure::usage(format!("{text:?} is not an address such as https://seaway.example.org")));
    }
    if url.scheme() == "http" && !is_local(&with_scheme.replace("http://", "")) {
        return Err(Failure::usage(format!(
            "{with_scheme} would send your token unencrypted; use https (plain http is for this machine only)"
        )));
    }
    Ok(with_scheme)
}

fn is_local(text: &str) -> bool {
    let host = text.split('/').next().unwrap_or("");
    let host = host.rsplit_once(':').map_or(host, |(host, port)| if port.parse::<u16>().is_ok() { host } else { text });
    host == "localhost"
        || host.ends_with(".localhost")
        || host == "[::1]"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn settings_are_private_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/config.toml");
        assert!(Settings::read(&path).unwrap().instances.is_empty());
        let mut settings = Settings { current: Some("https://x".into()), ..Settings::default() };
        settings.instances.insert("https://x".into(), Instance { token: "sea_pat_1".into(), token_id: None, organization: None });
        settings.write(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Settings::read(&path).unwrap().instances["https://x"].token, "sea_pat_1");
        std::fs::write(&path, "instances = 'sea_pat_1'").unwrap();
        assert!(!Settings::read(&path).unwrap_err().to_string().contains("sea_pat"));
    }

    #[test]
    fn a_token_goes_over_tls_or_to_this_machine() {
        assert_eq!(normal_url("seaway.example.org/").unwrap(), "https://seaway.example.org");
        assert_eq!(normal_url("localhost:8080").unwrap(), "http://localhost:8080");
        assert_eq!(normal_url("http://127.0.0.1:1").unwrap(), "http://127.0.0.1:1");
        for bad in ["http://seaway.example.org", "ftp://x", "http://localhost.evil.example", ""] {
            assert!(normal_url(bad).is_err(), "{bad}");
        }
    }
}

//! Where a service answers: a host and a path prefix on it.

use serde::{Deserialize, Serialize};

use super::RouteError;
use crate::host;

/// Bytes of a path prefix.
pub const PATH_BYTES_MAX: usize = 512;

/// One place. The longest prefix of a host wins; an exact host comes before a wildcard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// `a.test`, or `*.a.test`, which stands for exactly one more label.
    pub host: String,
    /// `/`, or `/api`: fits `/api` and `/api/x`, not `/apix`.
    #[serde(default = "root")]
    pub path: String,
    /// The app sees what follows the prefix.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strip: bool,
    /// Put before what the app sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal_path: Option<String>,
    /// Another port of the same replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl Place {
    /// The whole host, nothing rewritten.
    pub fn host(host: impl Into<String>) -> Self {
        Self { host: host.into(), path: root(), strip: false, internal_path: None, port: None }
    }

    /// A prefix of the host, nothing rewritten.
    pub fn prefix(host: impl Into<String>, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::host(host) }
    }

    /// What nobody else may have: the host, and the prefix unless it is the whole host.
    pub fn key(&self) -> String {
        if self.path == "/" { self.host.clone() } else { format!("{}{}", self.host, self.path) }
    }

    pub(super) fn validate(&self) -> Result<(), RouteError> {
        validate_host(&self.host)?;
        validate_path(&self.path)?;
        if let Some(path) = &self.internal_path {
            validate_path(path)?;
        }
        if self.port == Some(0) {
            return Err(RouteError::Range { what: "port", value: 0, least: 1, most: 65_535 });
        }
        Ok(())
    }
}

pub(super) fn validate_host(name: &str) -> Result<(), RouteError> {
    let bare = name.strip_prefix("*.").unwrap_or(name);
    if host::is_normal(bare) && !(bare.len() < name.len() && bare.starts_with('[')) {
        return Ok(());
    }
    let reason = host::normalise(bare).map_or_else(|error| error.to_string(), |normal| format!("write {normal:?}"));
    Err(RouteError::Host { host: name.chars().take(host::HOST_BYTES_MAX).collect(), reason })
}

/// `/` or `/a/b`: unreserved characters, no empty or dot segment, no slash at the end.
pub(super) fn validate_path(path: &str) -> Result<(), RouteError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
    let is_segment = |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(is_plain);
    let is_valid =
        path.len() <= PATH_BYTES_MAX && (path == "/" || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment)));
    if is_valid { Ok(()) } else { Err(RouteError::Path { path: path.chars().take(PATH_BYTES_MAX).collect() }) }
}

fn root() -> String {
    "/".to_owned()
}

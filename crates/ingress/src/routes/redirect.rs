//! Requests that are sent elsewhere instead of to the app.

use serde::{Deserialize, Serialize};

use super::{RouteError, at_most, place};

/// Redirects of one service; the first that fits is taken.
pub const REDIRECTS_MAX: usize = 64;
/// Bytes of a pattern or replacement.
pub const PATTERN_BYTES_MAX: usize = 1_024;
/// Bytes of memory that one compiled pattern may take.
pub const PATTERN_SIZE_BYTES_MAX: usize = 256 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// Only on these hosts of the service; empty: on all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    pub rule: RedirectRule,
    /// 301 (GET, HEAD) or 308; otherwise 302 or 307.
    #[serde(default)]
    pub permanent: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RedirectRule {
    /// To another host (canonical host, www ↔ apex), same scheme.
    Host {
        to: String,
        /// Path and query go along; otherwise `/`.
        #[serde(default = "yes")]
        keep_path: bool,
    },
    /// `from` (a path prefix) becomes `to` (a path, or a URL with http or https); what follows it and the query stay.
    Prefix { from: String, to: String },
    /// Like Traefik's: matched against `scheme://host/path?query`; `$1` or `${1}` in the replacement.
    Regex { pattern: String, replacement: String },
}

impl Redirect {
    pub(super) fn validate(&self, own_hosts: &[&str]) -> Result<(), RouteError> {
        let refuse = |reason: &str| Err(RouteError::Redirect { reason: reason.to_owned() });
        at_most("hosts of a redirect", self.hosts.len(), super::HOSTS_MAX)?;
        if let Some(foreign) = self.hosts.iter().find(|host| !own_hosts.contains(&host.as_str())) {
            return refuse(&format!("{foreign:?} is not a host of this service"));
        }
        match &self.rule {
            RedirectRule::Host { to, .. } => {
                if to.starts_with("*.") {
                    return refuse("a wildcard is no destination");
                }
                place::validate_host(to)
            }
            RedirectRule::Prefix { from, to } => {
                place::validate_path(from)?;
                let authority = to.strip_prefix("https://").or_else(|| to.strip_prefix("http://"));
                let is_path = to.starts_with('/') && !to.starts_with("//");
                if to.len() > PATTERN_BYTES_MAX || !(is_path || authority.is_some_and(|rest| !rest.is_empty())) || !is_visible(to) {
                    return refuse("the destination must be a path or an http(s) URL");
                }
                Ok(())
            }
            RedirectRule::Regex { pattern, replacement } => {
                if pattern.len() > PATTERN_BYTES_MAX || replacement.len() > PATTERN_BYTES_MAX || !is_visible(replacement) {
                    return refuse("the pattern or its replacement is too long or holds blanks");
                }
                compile(pattern).map(drop).or_else(|error| refuse(&error.to_string()))
            }
        }
    }
}

/// The one place where a user's pattern is compiled: linear time, bounded memory.
pub fn compile(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(pattern).size_limit(PATTERN_SIZE_BYTES_MAX).dfa_size_limit(PATTERN_SIZE_BYTES_MAX).build()
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn yes() -> bool {
    true
}

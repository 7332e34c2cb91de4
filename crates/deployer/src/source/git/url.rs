//! The address of a repository, parsed once; the parsed parts decide and are the ones that are used.

use crate::egress::Purpose;

const URL_BYTES_MAX: usize = 2048;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Https,
    Http,
    Ssh,
}

/// A repository that may be fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitUrl {
    pub scheme: Scheme,
    /// Only for ssh.
    pub user: Option<String>,
    /// Lower case; brackets of an IPv6 address are kept.
    pub host: String,
    pub port: u16,
    /// With a leading `/`, percent-encoded for https; for the short ssh form relative to the home folder (`/~/…` or plain).
    pub path: String,
    /// `user@host:path`: the path is relative to the user's home folder.
    short: bool,
}

/// Why a text is not the address of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("The repository address is empty or longer than {URL_BYTES_MAX} bytes.")]
    Length,
    #[error("The repository address begins with “-”, which git would take for an option.")]
    LeadingDash,
    #[error("The repository address holds a control character or a space.")]
    Character,
    #[error("The transport “{0}” is not allowed.")]
    Transport(String),
    #[error("A path on the server is not a repository address.")]
    LocalPath,
    #[error("The repository address has no host name that can be used.")]
    Host,
    #[error("The repository address has no path.")]
    Path,
    #[error("The repository address holds a password or a token.")]
    Password,
}

impl GitUrl {
    /// # Errors
    /// [`UrlError`]; `plain_http` also lets `http://` pass.
    pub fn parse(text: &str, plain_http: bool) -> Result<Self, UrlError> {
        if text.is_empty() || text.len() > URL_BYTES_MAX {
            return Err(UrlError::Length);
        }
        if text.starts_with('-') {
            return Err(UrlError::LeadingDash);
        }
        if text.chars().any(|character| character.is_control() || character.is_whitespace()) {
            return Err(UrlError::Character);
        }
        if let Some((helper, _)) = text.split_once("::")
            && helper.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.'))
        {
            return Err(UrlError::Transport(helper.to_owned()));
        }
        if text.starts_with(['/', '.', '~']) || text.starts_with('\\') {
            return Err(UrlError::LocalPath);
        }
        let Some((scheme, _)) = text.split_once("://") else { return Self::parse_short(text) };
        match scheme.to_ascii_lowercase().as_str() {
            "https" => Self::parse_long(text, Scheme::Https),
            "http" if plain_http => Self::parse_long(text, Scheme::Http),
            "ssh" => Self::parse_long(text, Scheme::Ssh),
            other => Err(UrlError::Transport(other.to_owned())),
        }
    }

    fn parse_long(text: &str, scheme: Scheme) -> Result<Self, UrlError> {
        let url = reqwest::Url::parse(text).map_err(|_invalid| UrlError::Host)?;
        if url.password().is_some() {
            return Err(UrlError::Password);
        }
        let user = (!url.username().is_empty()).then(|| url.username().to_owned());
        if scheme != Scheme::Ssh && user.is_some() {
            return Err(UrlError::Password);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(UrlError::Path);
        }
        let host = url.host_str().ok_or(UrlError::Host)?.to_ascii_lowercase();
        let default_port = match scheme {
            Scheme::Https => 443,
            Scheme::Http => 80,
            Scheme::Ssh => 22,
        };
        let path = url.path().to_owned();
        if path.len() < 2 {
            return Err(UrlError::Path);
        }
        let checked = Self { scheme, user, host, port: url.port().unwrap_or(default_port), path, short: false };
        checked.check()
    }

    /// `user@host:path` or `host:path`.
    fn parse_short(text: &str) -> Result<Self, UrlError> {
        let (authority, path) = text.split_once(':').ok_or(UrlError::LocalPath)?;
        if authority.contains('/') {
            return Err(UrlError::LocalPath);
        }
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user.to_owned()), host),
            None => (None, authority),
        };
        if path.is_empty() {
            return Err(UrlError::Path);
        }
        let host = host.to_ascii_lowercase();
        Self { scheme: Scheme::Ssh, user, host, port: 22, path: path.to_owned(), short: true }.check()
    }

    fn check(self) -> Result<Self, UrlError> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let literal = bare.parse::<std::net::IpAddr>().is_ok();
        let named = !bare.is_empty()
            && !bare.starts_with(['-', '.'])
            && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        if !literal && !named {
            return Err(UrlError::Host);
        }
        if let Some(user) = &self.user {
            let plain = !user.starts_with('-')
                && user.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'+'));
            if !plain {
                return Err(UrlError::Host);
            }
        }
        if self.path.starts_with('-') {
            return Err(UrlError::LeadingDash);
        }
        Ok(self)
    }

    pub fn purpose(&self) -> Purpose {
        if self.scheme == Scheme::Ssh { Purpose::Ssh } else { Purpose::Http }
    }

    /// As git is given it.
    pub fn text(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        match self.scheme {
            Scheme::Https => format!("https://{}{}{}", self.host, self.port_text(443), self.path),
            Scheme::Http => format!("http://{}{}{}", self.host, self.port_text(80), self.path),
            Scheme::Ssh if self.short => format!("{user}{}:{}", self.host, self.path),
            Scheme::Ssh => format!("ssh://{user}{}{}{}", self.host, self.port_text(22), self.path),
        }
    }

    fn port_text(&self, default_port: u16) -> String {
        if self.port == default_port { String::new() } else { format!(":{}", self.port) }
    }

    /// Resolves a submodule's address: `./x` and `../x` are relative to this repository, anything else stands alone.
    ///
    /// # Errors
    /// [`UrlError`]; also when `..` leaves the host.
    pub fn join(&self, text: &str, plain_http: bool) -> Result<Self, UrlError> {
        if !text.starts_with("./") && !text.starts_with("../") {
            return Self::parse(text, plain_http);
        }
        let mut parts: Vec<&str> = self.path.trim_end_matches('/').split('/').collect();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    let last = parts.pop();
                    if last.is_none_or(str::is_empty) {
                        return Err(UrlError::Path);
                    }
                }
                part => parts.push(part),
            }
        }
        let mut joined = self.clone();
        joined.path = parts.join("/");
        if joined.path.trim_matches('/').is_empty() || joined.path.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(UrlError::Path);
        }
        joined.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_addresses_come_through() {
        for (text, host, port, path) in [
            ("https://git.example/team/app.git", "git.example", 443, "/team/app.git"),
            ("https://Git.Example:8443/team/app", "git.example", 8443, "/team/app"),
            ("ssh://git@git.example:2222/team/app.git", "git.example", 2222, "/team/app.git"),
            ("git@git.example:team/app.git", "git.example", 22, "team/app.git"),
        ] {
            let url = GitUrl::parse(text, false).unwrap();
            assert_eq!((url.host.as_str(), url.port, url.path.as_str()), (host, port, path), "{text}");
            assert_eq!(url.text().to_lowercase(), text.to_lowercase());
        }
    }

    #[test]
    fn other_transports_paths_and_options_are_refused() {
        for text in [
            "ext::sh -c id",
            "ext::sh",
            "file:///etc",
            "FILE:///etc",
            "/etc",
            "./x",
            "../x",
            "~/x",
            "fd::3",
            "git://a/b",
            "http://a.example/b",
            "ftp://a/b",
            "--upload-pack=x",
            "-oProxyCommand=x:y",
            "",
            "https://",
            "https:///x",
            "https://a.example",
            "https://u:p@a.example/x",
            "https://token@a.example/x",
            "ssh://-oProxyCommand=id/x",
            "ssh://-x@host/y",
            "a b:c",
            "host:-x",
            "x",
            "https://a.example/x\nhost: y",
            "ssh://h;id/x",
            "$(id)@h:x",
            "transport::https://a/b",
        ] {
            assert!(GitUrl::parse(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn relative_submodules_stay_on_the_host() {
        let base = GitUrl::parse("https://git.example/team/app.git", false).unwrap();
        assert_eq!(base.join("../lib.git", false).unwrap().text(), "https://git.example/team/lib.git");
        assert_eq!(base.join("./lib", false).unwrap().text(), "https://git.example/team/app.git/lib");
        assert!(base.join("../../../../etc", false).is_err());
        assert!(base.join("ext::sh", false).is_err());
        assert!(base.join("/etc", false).is_err());
        let short = GitUrl::parse("git@git.example:team/app.git", false).unwrap();
        assert_eq!(short.join("../lib.git", false).unwrap().text(), "git@git.example:team/lib.git");
    }
}

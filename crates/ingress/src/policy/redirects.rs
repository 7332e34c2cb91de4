//! Where a request is sent instead of to the app.

use http::{Method, StatusCode};

use crate::{
    path,
    routes::{Redirect, RedirectRule, redirect::compile},
};

/// Longest Location that is sent.
const LOCATION_BYTES_MAX: usize = 8_192;

#[derive(Debug)]
pub struct CompiledRedirect {
    hosts: Vec<String>,
    rule: Rule,
    permanent: bool,
}

#[derive(Debug)]
enum Rule {
    Host { to: String, keep_path: bool },
    Prefix { from: String, to: String },
    Regex { pattern: regex::Regex, replacement: String },
}

/// What a redirect looks at.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub scheme: &'a str,
    /// Normalised.
    pub host: &'a str,
    /// `:8080` where the client named a port.
    pub port: &'a str,
    /// Normalised.
    pub path: &'a str,
    /// With its question mark, or empty.
    pub query: &'a str,
}

impl CompiledRedirect {
    pub fn new(redirect: &Redirect) -> Result<Self, regex::Error> {
        let rule = match &redirect.rule {
            RedirectRule::Host { to, keep_path } => Rule::Host { to: to.clone(), keep_path: *keep_path },
            RedirectRule::Prefix { from, to } => Rule::Prefix { from: from.clone(), to: to.clone() },
            RedirectRule::Regex { pattern, replacement } => Rule::Regex { pattern: compile(pattern)?, replacement: replacement.clone() },
        };
        Ok(Self { hosts: redirect.hosts.clone(), rule, permanent: redirect.permanent })
    }

    /// The Location, unless the rule does not fit or would send the client to where it is.
    pub fn location(&self, asked: Asked<'_>) -> Option<String> {
        if !self.hosts.is_empty() && !self.hosts.iter().any(|host| covers(host, asked.host)) {
            return None;
        }
        let Asked { scheme, host, port, path, query } = asked;
        let found = match &self.rule {
            Rule::Host { to, .. } if to == host => return None,
            Rule::Host { to, keep_path: true } => format!("{scheme}://{to}{port}{path}{query}"),
            Rule::Host { to, keep_path: false } => format!("{scheme}://{to}{port}/"),
            Rule::Prefix { from, to } => {
                let rest = path::after_prefix(path, from)?.trim_start_matches('/');
                let joint = if rest.is_empty() || to.ends_with('/') { "" } else { "/" };
                format!("{to}{joint}{rest}{query}")
            }
            Rule::Regex { pattern, replacement } => {
                let url = format!("{scheme}://{host}{port}{path}{query}");
                let found = pattern.captures(&url)?;
                let mut out = String::with_capacity(url.len());
                let whole = found.get(0)?;
                out.push_str(url.get(..whole.start())?);
                found.expand(replacement, &mut out);
                out.push_str(url.get(whole.end()..)?);
                out
            }
        };
        // Two slashes at the start would name another host.
        let found =
            if found.starts_with("//") || found.starts_with("/\\") { format!("/{}", found.trim_start_matches(['/', '\\'])) } else { found };
        let is_here = found == format!("{scheme}://{host}{port}{path}{query}") || found == format!("{path}{query}");
        let is_plain = found.len() <= LOCATION_BYTES_MAX && found.bytes().all(|byte| byte.is_ascii_graphic());
        (!is_here && is_plain).then_some(found)
    }

    /// 301 and 302 let old clients change the method, which is right for GET and HEAD only.
    pub fn status(&self, method: &Method) -> StatusCode {
        let is_safe = matches!(*method, Method::GET | Method::HEAD);
        match (self.permanent, is_safe) {
            (true, true) => StatusCode::MOVED_PERMANENTLY,
            (true, false) => StatusCode::PERMANENT_REDIRECT,
            (false, true) => StatusCode::FOUND,
            (false, false) => StatusCode::TEMPORARY_REDIRECT,
        }
    }
}

fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(hosts: &[&str], rule: RedirectRule, host: &str, path: &str, query: &str) -> Option<String> {
        let redirect = Redirect { hosts: hosts.iter().map(|host| (*host).to_owned()).collect(), rule, permanent: true };
        CompiledRedirect::new(&redirect).unwrap().location(Asked { scheme: "https", host, port: "", path, query })
    }

    #[test]
    fn table() {
        let to_www = || RedirectRule::Host { to: "www.a.test".into(), keep_path: true };
        assert_eq!(location(&[], to_www(), "a.test", "/x", "?q=1").as_deref(), Some("https://www.a.test/x?q=1"));
        assert_eq!(location(&[], to_www(), "www.a.test", "/x", ""), None, "the canonical host is not redirected");
        assert_eq!(location(&["b.test"], to_www(), "a.test", "/", ""), None);
        assert_eq!(location(&["*.b.test"], to_www(), "x.b.test", "/", "").as_deref(), Some("https://www.a.test/"));
        let drop_path = RedirectRule::Host { to: "b.test".into(), keep_path: false };
        assert_eq!(location(&[], drop_path, "a.test", "/x", "?q").as_deref(), Some("https://b.test/"));
        for (from, to, path, query, wanted) in [
            ("/old", "/new", "/old", "", Some("/new")),
            ("/old", "/new", "/old/a", "?q", Some("/new/a?q")),
            ("/old", "/", "/old/a", "", Some("/a")),
            ("/old", "/", "/old//evil.test", "", Some("/evil.test")),
            ("/old", "https://b.test", "/old/a", "", Some("https://b.test/a")),
            ("/old", "/new", "/older", "", None),
            ("/", "/", "/a", "", None),
        ] {
            let rule = RedirectRule::Prefix { from: from.into(), to: to.into() };
            assert_eq!(location(&[], rule, "a.test", path, query).as_deref(), wanted, "{from} {to} {path}");
        }
        for (pattern, replacement, path, wanted) in [
            ("^https://a\\.test/blog/(.*)", "https://blog.a.test/$1", "/blog/x", Some("https://blog.a.test/x")),
            ("^https?://[^/]+/u/([0-9]+)$", "/users/${1}/", "/u/42", Some("/users/42/")),
            ("^https://a\\.test/(.*)", "https://a.test/$1", "/same", None),
            ("^https://a\\.test(/.*)", "$1", "//evil.test", Some("/evil.test")),
            ("nothing", "/x", "/y", None),
        ] {
            let rule = RedirectRule::Regex { pattern: pattern.into(), replacement: replacement.into() };
            assert_eq!(location(&[], rule, "a.test", path, "").as_deref(), wanted, "{pattern} {path}");
        }
    }
}

//! The names under which Seaway answers. Another name in `Host` is a mistake or an attack by DNS, and gets 421.

use std::collections::BTreeSet;
use std::net::IpAddr;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::HOST;

/// Who watches the health may do it by address.
const HEALTH_PATHS: [&str; 3] = ["/health", "/health/live", "/api/v1/health"];

/// What [`Hosts::serves`] compares with; names without port, in lower case.
#[derive(Debug, Clone)]
pub struct Hosts(BTreeSet<String>);

impl Hosts {
    /// The host of the base URL, and further names of the operator's choice.
    pub fn new(base_url: &str, further: &[String]) -> Self {
        let authority = base_url.split_once("://").map_or(base_url, |(_, rest)| rest).split('/').next().unwrap_or_default();
        Self(further.iter().map(String::as_str).chain([authority]).map(name_of).collect())
    }

    /// `behind_proxy`: the peer is a configured proxy, whose `X-Forwarded-Host` says what the client asked for.
    pub(crate) fn serves(&self, request: &ServiceRequest, behind_proxy: bool) -> bool {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let forwarded = if behind_proxy { header("x-forwarded-host").and_then(|list| list.split(',').next()) } else { None };
        // HTTP/2 would say it in the address instead of a header.
        let asked = forwarded.or_else(|| header(HOST.as_str())).or_else(|| request.uri().host());
        asked.is_some_and(|host| self.knows(host.trim(), HEALTH_PATHS.contains(&request.path())))
    }

    fn knows(&self, host: &str, health: bool) -> bool {
        let name = name_of(host);
        match name.parse::<IpAddr>() {
            Ok(address) => health || address.is_loopback() || self.0.contains(&name),
            Err(_) => name == "localhost" || self.0.contains(&name),
        }
    }
}

/// Without port, brackets, the dot at the end; in lower case.
fn name_of(host: &str) -> String {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host
            .rsplit_once(':')
            .filter(|(name, port)| !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()))
            .map_or(host, |(name, _)| name),
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_instance_and_of_this_machine_are_known() {
        let hosts = Hosts::new("https://Panel.Example:8443", &["inner.example".to_owned(), "192.0.2.7".to_owned()]);
        for host in [
            "panel.example",
            "PANEL.example:8443",
            "panel.example.",
            "panel.example:1",
            "inner.example",
            "192.0.2.7:80",
            "localhost:9",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(hosts.knows(host, false), "{host}");
        }
        for host in ["", "evil.example", "panel.example.evil.example", "192.0.2.8", "localhost.evil.example", "x:y", "[::2]"] {
            assert!(!hosts.knows(host, false), "{host}");
        }
        assert!(hosts.knows("192.0.2.8:8080", true) && hosts.knows("[2001:db8::1]", true), "health by address");
        assert!(!hosts.knows("evil.example", true), "health by another name");
    }
}

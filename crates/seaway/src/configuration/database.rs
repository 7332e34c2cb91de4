//! The database.

use std::path::Path;

use domain::Secret;

use super::vault::is_example;
use super::{Invalid, Values};

const POSTGRES_PORT: u16 = 5432;

pub struct DatabaseConfiguration {
    pub url: Secret<String>,
}

impl std::fmt::Debug for DatabaseConfiguration {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.kind())
    }
}

impl DatabaseConfiguration {
    pub fn of(values: &Values, data_dir: &Path) -> Result<Self, Invalid> {
        let Some(url) = values.secret("database_url") else {
            return Ok(Self { url: Secret::new(format!("sqlite:{}", data_dir.join("seaway.db").display())) });
        };
        let text = url.reveal();
        if let Some(rest) = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) {
            let authority = rest.split('/').next().unwrap_or("");
            let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, password)| password);
            if password.is_some_and(|password| password.is_empty() || is_example(password)) {
                let reason = "its password is empty or an example; set a random one (openssl rand -hex 24) for the database's user";
                return Err(values.invalid("database_url", reason));
            }
        } else if text.contains("://") && !text.starts_with("sqlite://") {
            return Err(values.invalid("database_url", "expected postgres://… or sqlite:PATH"));
        }
        Ok(Self { url })
    }

    pub fn is_sqlite(&self) -> bool {
        !self.url.reveal().starts_with("postgres")
    }

    /// Host and port of the PostgreSQL server; `None` for SQLite and for a socket on this machine.
    pub fn server(&self) -> Option<(String, u16)> {
        let text = self.url.reveal();
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = place.split('/').next().unwrap_or("");
        let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
        // The port stands behind the bracket of an IPv6 address.
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
            _ => (address, None),
        };
        let parameter = |names: &[&str]| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(name, _)| names.contains(name)).map(|(_, value)| value).next_back()
        };
        let host = parameter(&["hostaddr"]).or_else(|| parameter(&["host"])).unwrap_or(host);
        let host = percent_encoding::percent_decode_str(host).decode_utf8_lossy().trim_matches(['[', ']']).to_owned();
        if host.starts_with('/') {
            return None;
        }
        let port = parameter(&["port"]).and_then(|port| port.parse().ok()).or(port).unwrap_or(POSTGRES_PORT);
        Some((if host.is_empty() { "localhost".to_owned() } else { host }, port))
    }

    pub fn kind(&self) -> &'static str {
        if self.is_sqlite() { "SQLite" } else { "PostgreSQL" }
    }
}

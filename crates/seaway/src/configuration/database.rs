//! The database.

use std::path::Path;

use domain::Secret;

use super::vault::is_example;
use super::{Invalid, Values};

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

    pub fn kind(&self) -> &'static str {
        if self.is_sqlite() { "SQLite" } else { "PostgreSQL" }
    }
}

//! The data map: for every column its class, purpose, retention and what erasure does (`migrations/data-map.toml`).
//!
//! Tests hold it against the migrated schema of both databases, refuse a column that looks like a credential and is
//! neither sealed nor a digest, and keep `docs/data-map.md` (made by [`DataMap::render`]) up to date.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// The source, as embedded into the binary.
pub const SOURCE: &str = include_str!("../../../migrations/data-map.toml");

/// A column whose name contains one of these is taken for a credential until the map says why it is none.
pub const CREDENTIAL_WORDS: &[&str] = &[
    "secret",
    "password",
    "passphrase",
    "passwd",
    "token",
    "key",
    "credential",
    "private",
    "pem",
    "sealed",
    "wrapped",
    "totp",
    "recovery",
    "cookie",
    "pin",
    "salt",
    "bearer",
    "otp",
];

/// What kind of data a column holds (privacy.md, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Who a person is: e-mail, name, settings.
    Account,
    /// How a person proves it: sessions, attempts.
    Authentication,
    /// Addresses and devices.
    Technical,
    /// Projects, services, deployments, and the identifiers between them.
    TenantConfiguration,
    /// Credentials of tenants, people and the instance: sealed or digested, nothing else.
    Secret,
    /// Logs, metrics, bodies that tenants' work produces.
    TenantContent,
    /// Identifiers at the payment provider.
    Billing,
    /// Evidence of consent and of requests.
    Consent,
    Audit,
    /// Workings of the instance; says nothing about a person or a tenant.
    Instance,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// What the rows are for; a column may say its own.
    pub purpose: String,
    pub class: Class,
    pub retention: String,
    pub erasure: String,
    pub columns: BTreeMap<String, Column>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    pub class: Option<Class>,
    pub purpose: Option<String>,
    pub retention: Option<String>,
    pub erasure: Option<String>,
    /// The vault's ciphertext.
    #[serde(default)]
    pub sealed: bool,
    /// A one-way digest (argon2id, SHA-256 of a random token).
    #[serde(default)]
    pub digest: bool,
    /// Why a column with a suspicious name holds no credential.
    pub not_a_credential: Option<String>,
}

/// The whole map, by table.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct DataMap(pub BTreeMap<String, Table>);

impl DataMap {
    pub fn embedded() -> Result<Self, toml::de::Error> {
        Self::parse(SOURCE)
    }

    pub fn parse(source: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(source)
    }

    /// What is wrong with the map against a schema: (table, column, type in PostgreSQL's words). Empty when all is well.
    pub fn faults(&self, schema: &[(String, String, String)]) -> Vec<String> {
        let mut faults = Vec::new();
        for (table, column, kind) in schema {
            match self.0.get(table).and_then(|known| known.columns.get(column).map(|entry| (known, entry))) {
                None => faults.push(format!("{table}.{column} is not in migrations/data-map.toml")),
                Some((known, entry)) => faults.extend(fault(entry, known.class, table, column, kind)),
            }
        }
        for (table, known) in &self.0 {
            for column in known.columns.keys() {
                if !schema.iter().any(|(other, name, _)| other == table && name == column) {
                    faults.push(format!("{table}.{column} is in migrations/data-map.toml but not in the schema"));
                }
            }
        }
        faults
    }

    /// The document for people.
    pub fn render(&self) -> String {
        let mut text = String::from(
            "# Data map\n\nMade from `migrations/data-map.toml` by `UPDATE=1 cargo test -p store --test it data_map`; do not edit.\n\
             Every column of the database: what it holds, what for, how long, and what the erasure of its subject does.\n",
        );
        for (name, table) in &self.0 {
            let _ = write!(
                text,
                "\n## {name}\n\n{}. Kept: {}. Erasure: {}.\n\n| column | class | purpose | kept | erasure | protection |\n|---|---|---|---|---|---|\n",
                table.purpose, table.retention, table.erasure
            );
            for (column, entry) in &table.columns {
                let class = crate::text_of(&entry.class.unwrap_or(table.class)).unwrap_or_default().replace('_', " ");
                let protection = match entry {
                    Column { sealed: true, .. } => "sealed",
                    Column { digest: true, .. } => "digest",
                    _ => "",
                };
                let same = |own: &Option<String>| own.clone().unwrap_or_default();
                let _ = writeln!(
                    text,
                    "| {column} | {class} | {} | {} | {} | {protection} |",
                    same(&entry.purpose),
                    same(&entry.retention),
                    same(&entry.erasure)
                );
            }
        }
        text
    }
}

fn fault(entry: &Column, table_class: Class, table: &str, column: &str, kind: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let looks_like =
        CREDENTIAL_WORDS.iter().find(|word| column.split('_').any(|part| part == **word || part.strip_suffix('s') == Some(word)));
    let class = entry.class.unwrap_or(table_class);
    let protected = entry.sealed || entry.digest;
    if let Some(word) = looks_like {
        let explained = entry.not_a_credential.as_ref().is_some_and(|reason| reason.len() > 5);
        let kept_safe = class == Class::Secret && protected;
        if !explained && !kept_safe {
            faults.push(format!(
                "{table}.{column} looks like a credential (`{word}`): seal it (class = \"secret\", sealed = true), store a digest \
                 (digest = true), or say why it is none (not_a_credential = \"…\")"
            ));
        }
    }
    if class == Class::Secret && !protected {
        faults.push(format!("{table}.{column} is of class secret but neither sealed nor a digest"));
    }
    // A PHC string (argon2id) is text; everything sealed is bytes.
    if entry.sealed && kind != "bytea" {
        faults.push(format!("{table}.{column} is sealed but of type {kind}: ciphertexts are bytea"));
    }
    if entry.not_a_credential.is_some() && (protected || looks_like.is_none()) {
        faults.push(format!("{table}.{column} needs no not_a_credential"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(entry: &str, column: &str, kind: &str) -> Vec<String> {
        let source =
            format!("[t]\npurpose = \"p\"\nclass = \"instance\"\nretention = \"r\"\nerasure = \"e\"\n[t.columns]\n{column} = {entry}\n");
        let schema = [("t".to_owned(), column.to_owned(), kind.to_owned())];
        DataMap::parse(&source).unwrap().faults(&schema)
    }

    #[test]
    fn what_looks_like_a_credential_is_sealed_or_explained() {
        for column in ["api_key", "secret", "password_digest", "tokens", "private_pem", "deploy_keys", "key"] {
            assert_eq!(faults("{}", column, "text").len(), 1, "{column}");
            assert_eq!(faults("{ class = \"secret\", sealed = true }", column, "bytea").len(), 0, "{column}");
            assert_eq!(faults("{ class = \"secret\", digest = true }", column, "text").len(), 0, "{column}");
            assert_eq!(faults("{ not_a_credential = \"names a row of another table\" }", column, "text").len(), 0, "{column}");
            assert_eq!(faults("{ not_a_credential = \"\" }", column, "text").len(), 1, "{column}");
        }
        assert_eq!(faults("{ class = \"secret\" }", "value", "bytea").len(), 1);
        assert_eq!(faults("{ class = \"secret\", sealed = true }", "value", "text").len(), 1);
        assert_eq!(faults("{}", "monkey_business", "text").len(), 0);
    }

    #[test]
    fn missing_and_surplus_columns_are_named() {
        let map = DataMap::parse("[t]\npurpose='p'\nclass='audit'\nretention='r'\nerasure='e'\n[t.columns]\na = {}\n").unwrap();
        let schema = [("t".to_owned(), "b".to_owned(), "text".to_owned())];
        let faults = map.faults(&schema);
        assert!(faults.len() == 2 && faults[0].starts_with("t.b is not") && faults[1].starts_with("t.a is in"), "{faults:?}");
        assert!(DataMap::parse("[t]\nclas = 'audit'").is_err());
    }
}

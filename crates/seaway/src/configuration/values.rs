//! The raw settings and where each came from.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use domain::Secret;
use zeroize::Zeroizing;

use super::keys::{KEYS, Key};
use crate::arguments::SettingsArguments;

const FILE_SIZE_BYTES_MAX: u64 = 1024 * 1024;

/// A setting that cannot be used. The value itself is shown only if it is no secret.
#[derive(Debug, thiserror::Error)]
#[error("the setting {key} {origin}cannot be used: {reason}")]
pub struct Invalid {
    pub key: String,
    origin: String,
    reason: String,
}

impl Invalid {
    pub fn new(key: &str, reason: impl Display) -> Self {
        Self { key: key.to_owned(), origin: String::new(), reason: reason.to_string() }
    }
}

struct Value {
    text: Zeroizing<String>,
    origin: String,
}

pub struct Values {
    by_key: BTreeMap<&'static str, Value>,
    file: Option<PathBuf>,
}

impl Values {
    /// Puts the sources over each other.
    ///
    /// # Errors
    /// For unknown keys, unreadable files and a secret that is given both ways at once.
    pub fn collect(
        arguments: &SettingsArguments,
        environment: impl Iterator<Item = (String, String)>,
        file_default: &Path,
    ) -> Result<Self, Invalid> {
        let mut values = Self { by_key: BTreeMap::new(), file: None };
        let file = arguments.config.clone().or_else(|| Some(file_default.to_owned()).filter(|path| path.is_file()));
        if let Some(path) = &file {
            values.layer(&format!("(in {}) ", path.display()), read_file(path)?)?;
        }
        values.file = file;
        let known: BTreeMap<String, &Key> = KEYS.iter().map(|key| (key.variable(), key)).collect();
        let from_environment = environment.filter_map(|(name, value)| match known.get(&name) {
            Some(key) => Some((key.name.to_owned(), value)),
            None => {
                let key = known.get(name.strip_suffix("_FILE")?).filter(|key| key.secret)?;
                Some((format!("{}_file", key.name), value))
            }
        });
        // An empty variable is how Compose files and units say "not set".
        values.layer("(from the environment) ", from_environment.filter(|(_, value)| !value.is_empty()).collect())?;
        let mut set = Vec::new();
        for text in &arguments.set {
            let (key, value) = text.split_once('=').ok_or_else(|| Invalid::new(text, "write --set KEY=VALUE"))?;
            set.push((key.to_owned(), value.to_owned()));
        }
        if let Some(folder) = &arguments.data_dir {
            set.push(("data_dir".to_owned(), folder.display().to_string()));
        }
        values.layer("(from the command line) ", set)?;
        Ok(values)
    }

    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The value, or its default; empty when there is neither.
    pub fn text(&self, key: &'static str) -> &str {
        let default = || KEYS.iter().find(|known| known.name == key).map_or("", |known| known.default);
        self.by_key.get(key).map_or_else(default, |value| value.text.as_str())
    }

    pub fn is_set(&self, key: &'static str) -> bool {
        !self.text(key).is_empty()
    }

    /// A secret; `None` when it is not given.
    pub fn secret(&self, key: &'static str) -> Option<Secret<String>> {
        self.by_key.get(key).map(|value| Secret::new(value.text.to_string()))
    }

    pub fn parse<T: FromStr>(&self, key: &'static str, expected: &str) -> Result<T, Invalid> {
        self.text(key).trim().parse().map_err(|_| self.invalid(key, format!("{:?} is not {expected}", self.text(key))))
    }

    /// The parts between commas; an empty list when nothing is given.
    pub fn list<T: FromStr>(&self, key: &'static str, expected: &str) -> Result<Vec<T>, Invalid> {
        let parts = self.text(key).split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| part.parse().map_err(|_| self.invalid(key, format!("{part:?} is not {expected}")))).collect()
    }

    pub fn one_of<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Result<T, Invalid> {
        let found = choices.iter().find(|(name, _)| *name == self.text(key)).map(|(_, value)| *value);
        found.ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.invalid(key, format!("{:?} is none of {}", self.text(key), names.join(", ")))
        })
    }

    pub fn yes(&self, key: &'static str) -> Result<bool, Invalid> {
        self.one_of(key, &[("true", true), ("false", false), ("1", true), ("0", false)])
    }

    /// An error about this key that says where its value came from.
    pub fn invalid(&self, key: &'static str, reason: impl Display) -> Invalid {
        let origin = self.by_key.get(key).map(|value| value.origin.clone()).unwrap_or_default();
        Invalid { key: key.to_owned(), origin, reason: reason.to_string() }
    }

    fn layer(&mut self, origin: &str, pairs: Vec<(String, String)>) -> Result<(), Invalid> {
        let mut seen = std::collections::BTreeSet::new();
        for (name, text) in pairs {
            let invalid = |reason: String| Invalid { key: name.clone(), origin: origin.to_owned(), reason };
            let secret_file = name.strip_suffix("_file").and_then(|name| KEYS.iter().find(|key| key.secret && key.name == name));
            let Some(key) = secret_file.or_else(|| KEYS.iter().find(|key| key.name == name)) else {
                return Err(invalid(format!("there is no such setting{}; docs/configuration.md lists them", nearest(&name))));
            };
            if !seen.insert(key.name) {
                return Err(invalid("it is given both as a value and as a file; keep one".to_owned()));
            }
            let text = Zeroizing::new(text);
            let text = if secret_file.is_some() { read_secret(&text).map_err(invalid)? } else { text };
            if key.secret && text.is_empty() {
                return Err(invalid("it is empty; leave it out, or give a value".to_owned()));
            }
            self.by_key.insert(key.name, Value { text, origin: origin.to_owned() });
        }
        Ok(())
    }
}

fn nearest(name: &str) -> String {
    let alike = |key: &&Key| key.name.contains(name) || name.contains(key.name) || key.name.chars().take(4).eq(name.chars().take(4));
    KEYS.iter().find(alike).map_or_else(String::new, |key| format!(" (is {} meant?)", key.name))
}

fn read_secret(path: &str) -> Result<Zeroizing<String>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("its file {path} cannot be read: {error}"))?;
    if metadata.len() > FILE_SIZE_BYTES_MAX {
        return Err(format!("its file {path} is too long for a secret"));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| format!("its file {path} cannot be read: {error}"))?);
    Ok(Zeroizing::new(text.trim().to_owned()))
}

fn read_file(path: &Path) -> Result<Vec<(String, String)>, Invalid> {
    let name = format!("config (file {})", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| Invalid::new(&name, error))?;
    // The parser's own message would show the line, and the line may hold a secret.
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(0, |span| text.get(..span.start).unwrap_or("").lines().count().max(1));
        Invalid::new(&name, format!("line {line} is not TOML: {}", error.message()))
    })?;
    table
        .into_iter()
        .map(|(key, value)| {
            text_of(&value)
                .map(|text| (key.clone(), text))
                .ok_or_else(|| Invalid::new(&key, "the file holds plain keys with texts, numbers, true, false, or arrays of texts"))
        })
        .collect()
}

fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(yes) => Some(yes.to_string()),
        toml::Value::Array(parts) => {
            let parts: Option<Vec<&str>> = parts.iter().map(toml::Value::as_str).collect();
            parts.map(|parts| parts.join(","))
        }
        _ => None,
    }
}

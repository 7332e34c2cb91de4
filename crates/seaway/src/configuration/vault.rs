//! The master key: a file of the data folder, or a value.

use std::path::{Path, PathBuf};

use ::vault::MasterKey;

use super::{Invalid, Values};

/// What people leave in place of a secret.
const EXAMPLES: &[&str] = &[
    "changeme",
    "change-me",
    "change_me",
    "password",
    "passwd",
    "secret",
    "example",
    "default",
    "admin",
    "root",
    "test",
    "postgres",
    "seaway",
    "12345",
    "123456",
    "12345678",
    "qwerty",
    "letmein",
    "todo",
    "xxx",
    "your-password",
    "mysecretpassword",
];

pub fn is_example(secret: &str) -> bool {
    let lower = secret.to_ascii_lowercase();
    EXAMPLES.contains(&lower.as_str()) || lower.contains("changeme") || lower.starts_with('<')
}

#[derive(Debug)]
pub struct VaultConfiguration {
    /// Given as a value; otherwise it is in `file`.
    pub master_key: Option<MasterKey>,
    pub previous: Option<MasterKey>,
    pub file: PathBuf,
}

impl VaultConfiguration {
    pub fn of(values: &Values, data_dir: &Path) -> Result<Self, Invalid> {
        let key = |name: &'static str| match values.secret(name) {
            None => Ok(None),
            Some(text) => MasterKey::from_text(text.reveal())
                .map(Some)
                .map_err(|error| values.invalid(name, format!("{error}; make one with `openssl rand -base64 32`"))),
        };
        let (master_key, previous) = (key("master_key")?, key("master_key_previous")?);
        if master_key.is_none() && previous.is_some() {
            return Err(values.invalid("master_key_previous", "it is given without master_key"));
        }
        Ok(Self { master_key, previous, file: data_dir.join("keys").join("master.key") })
    }
}

//! A secret that crosses the admin socket and rests in the ingress's own folder, and goes nowhere else.

use domain::Secret;
use serde::{Deserialize, Serialize};

/// A private key or credential as text. Unlike [`Secret`] it can be serialised: the admin socket and the files of the state
/// folder (both open to the ingress's own user only) need its value. It is never printed.
#[derive(Clone)]
pub struct KeyText(Secret<String>);

impl KeyText {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Secret::new(text.into()))
    }

    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

impl From<Secret<String>> for KeyText {
    fn from(secret: Secret<String>) -> Self {
        Self(secret)
    }
}

impl From<KeyText> for Secret<String> {
    fn from(text: KeyText) -> Self {
        text.0
    }
}

impl std::fmt::Debug for KeyText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// Decides whether a put is a repeat; both sides are ours.
impl PartialEq for KeyText {
    fn eq(&self, other: &Self) -> bool {
        self.reveal() == other.reveal()
    }
}

impl Eq for KeyText {}

impl Serialize for KeyText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.reveal())
    }
}

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Secret::deserialize(deserializer).map(Self)
    }
}

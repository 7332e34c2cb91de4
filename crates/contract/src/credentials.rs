//! Credentials for git hosts and registries. Their values come in and never go out.

use chrono::{DateTime, Utc};
use domain::Secret;
use domain::credential::CredentialKind;
use domain::id::{CredentialId, ServiceId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A new credential.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum CreateCredential {
    /// For `https://` repositories.
    GitToken {
        name: String,
        /// `git` when absent, which most hosts accept.
        #[serde(default)]
        username: Option<String>,
        token: Secret<String>,
        /// Host that it belongs to, shown to tell credentials apart.
        #[serde(default)]
        host: Option<String>,
    },
    /// For `ssh://` repositories. Without a private key Seaway makes an Ed25519 pair and answers the public line to enter at the host.
    DeployKey {
        name: String,
        /// In OpenSSH form, without a passphrase.
        #[serde(default)]
        private_key: Option<Secret<String>>,
        /// Lines of `known_hosts` for the git host (`ssh-keyscan HOST`, compared with what the host publishes).
        known_hosts: String,
        #[serde(default)]
        host: Option<String>,
    },
    /// For images of a private registry.
    Registry { name: String, host: String, username: String, password: Secret<String> },
}

/// What changes; the value is replaced when it is given.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateCredential {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub known_hosts: Option<String>,
    /// The new token, password or private key.
    #[serde(default)]
    pub value: Option<Secret<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Credential {
    pub id: CredentialId,
    pub kind: CredentialKind,
    pub name: String,
    pub host: Option<String>,
    pub username: Option<String>,
    /// `••••` and the last four characters of a long value.
    pub hint: Option<String>,
    /// Deploy keys: the line to enter at the git host.
    pub public_line: Option<String>,
    pub fingerprint: Option<String>,
    pub known_hosts: Option<String>,
    pub version: u64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Services whose source uses it; only on a single credential.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<ServiceId>,
}

//! Credentials for git hosts and registries.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// User name and access token, for https.
    GitToken,
    /// SSH key pair, for ssh.
    DeployKey,
    /// User name and password of a registry.
    Registry,
}

/// Shortest value of which the last characters are shown: of a shorter one they would say too much.
const SHOWN_LENGTH_MIN: usize = 16;

/// The last four characters of a token; `None` when it is too short to show any.
pub fn last_characters(value: &str) -> Option<String> {
    let length = value.chars().count();
    let fits = length >= SHOWN_LENGTH_MIN && value.is_ascii();
    fits.then(|| value.chars().skip(length - 4).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_values_show_their_end() {
        assert_eq!(last_characters("ghp_0123456789abcdef").as_deref(), Some("cdef"));
        assert_eq!(last_characters("hunter2"), None);
    }
}

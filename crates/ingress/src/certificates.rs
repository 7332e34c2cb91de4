//! What the control plane wants of certificates, and what the ingress reports back. Pure data for the admin socket.
//!
//! The ingress orders and renews by itself: with the control plane dead nothing expires. Each item is put whole, under a
//! generation that never goes back, as routes are. The control plane keeps sealed copies of the keys (see [`Material`] and
//! [`AccountMaterial`]) and gives them back with the next put after a restore.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    host,
    key_text::KeyText,
    routes::{RouteError, validate_id},
};

/// Names of one certificate (Let's Encrypt allows as many).
pub const NAMES_MAX: usize = 100;
/// Bytes of a chain or key as PEM.
pub const PEM_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a URL, a contact or a credential.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;
pub const CONTACTS_MAX: usize = 10;

/// `PUT /certificates/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredCertificate {
    /// Opaque id: letters, digits, `-` and `_`.
    pub id: String,
    /// Fencing, as with routes: below the stored one is refused, an equal one replaces.
    pub generation: u64,
    /// Who shares the account's limits fairly (an opaque text, one per organization): one group cannot use them up.
    #[serde(default)]
    pub group: String,
    /// Lower case, IDNA applied; `*.` in front of the rest for a wildcard. Only these are ever ordered.
    pub names: Vec<String>,
    pub how: Issuance,
    /// A copy from the vault, after a restore of the machine: taken when the ingress has none of its own.
    #[serde(default)]
    pub material: Option<Material>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Issuance {
    Acme {
        /// Id of a [`DesiredAccount`].
        account: String,
        challenge: Challenge,
        /// A profile that the directory offers, e.g. `shortlived`.
        #[serde(default)]
        profile: Option<String>,
    },
    /// Given by its owner; never renewed by us.
    Own { chain_pem: String, key_pem: KeyText },
    /// Made here; for local use.
    SelfSigned,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Challenge {
    #[serde(rename = "http-01")]
    Http01,
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// The only one for wildcards.
    #[serde(rename = "dns-01")]
    Dns01 {
        /// Id of a [`DesiredProvider`].
        provider: String,
    },
}

/// `PUT /acme-accounts/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredAccount {
    pub id: String,
    pub generation: u64,
    /// e.g. `https://acme-v02.api.letsencrypt.org/directory`.
    pub directory_url: String,
    /// Mail addresses, without `mailto:`.
    #[serde(default)]
    pub contacts: Vec<String>,
    #[serde(default)]
    pub external_binding: Option<ExternalBinding>,
    /// Authority (PEM) of a private directory, instead of the public ones.
    #[serde(default)]
    pub authority_pem: Option<String>,
    /// The directory may have a private address. Set by the operator of the instance only, never by a tenant.
    #[serde(default)]
    pub may_be_private: bool,
    /// A copy from the vault: taken when the ingress has none of its own.
    #[serde(default)]
    pub material: Option<AccountMaterial>,
}

/// RFC 8555, 7.3.4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalBinding {
    pub key_id: String,
    /// base64url, as authorities hand it out.
    pub hmac_key: KeyText,
}

/// `PUT /dns-providers/{id}`. The control plane has opened the credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredProvider {
    pub id: String,
    pub generation: u64,
    pub provider: DnsProvider,
    /// The server (RFC 2136) may have a private address. Set by the operator of the instance only.
    #[serde(default)]
    pub may_be_private: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DnsProvider {
    Rfc2136 {
        /// Host or address, with `:port` when it is not 53.
        server: String,
        /// The zone that is updated, e.g. `example.org`.
        zone: String,
        key_name: String,
        #[serde(default)]
        algorithm: TsigAlgorithm,
        /// base64, as `tsig-keygen` writes it.
        key: KeyText,
    },
    /// Token with `Zone.DNS:Edit` and `Zone.Zone:Read`.
    Cloudflare { token: KeyText },
    Route53 {
        access_key_id: String,
        secret_access_key: KeyText,
        /// Missing: the zone is looked for by name (needs `route53:ListHostedZonesByName`).
        #[serde(default)]
        hosted_zone_id: Option<String>,
    },
    /// The DNS part of the Hetzner Cloud API.
    Hetzner { token: KeyText },
    #[serde(rename = "digitalocean")]
    DigitalOcean { token: KeyText },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TsigAlgorithm {
    #[default]
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

/// `GET /certificates/{id}/material`: what is served now. The control plane seals it in the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Material {
    pub chain_pem: String,
    pub key_pem: KeyText,
}

/// `GET /acme-accounts/{id}/material`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountMaterial {
    /// Address and private key of the account, as one text of JSON.
    pub credentials: KeyText,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateStanding {
    /// Nothing is served yet; an order begins at `next_attempt_at`.
    Waiting,
    /// Nothing is served yet and an order is under way.
    Ordering,
    /// Served.
    Issued,
    /// Served, and an order for its successor is under way.
    Renewing,
    /// Served, but the last renewal failed; the next attempt is at `next_attempt_at`.
    RenewalFailed,
    /// Nothing is served: the last attempt failed (or the given certificate cannot be used).
    Failed,
    /// What is served has expired.
    Expired,
}

/// `GET /certificates` and `GET /certificates/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateState {
    pub id: String,
    pub generation: u64,
    pub names: Vec<String>,
    pub standing: CertificateStanding,
    /// Of the certificate that is served; `None` while there is none.
    pub served: Option<Served>,
    /// `None`: never by itself (own certificates), or nothing is served yet.
    pub renew_at: Option<DateTime<Utc>>,
    /// The window came from the authority (RFC 9773).
    pub renew_at_is_suggested: bool,
    pub last_error: Option<Failure>,
    /// Failed attempts since the last success.
    pub attempts: u32,
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Whole days until `not_after`; negative once expired. The control plane warns by it.
    pub days_left: Option<i64>,
    /// Grows with every change of this state, over all certificates of this ingress: `GET /certificates?since=REVISION`.
    pub revision: u64,
    /// Grows whenever [`Material`] changed: fetch it and seal it.
    pub material_version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    /// Distinguished name.
    pub issuer: String,
    /// Hexadecimal, lower case.
    pub serial: String,
    /// SHA-256 of the leaf, hexadecimal.
    pub fingerprint: String,
    /// Of the chain, the leaf first; one is a self-signed one, or a chain without intermediates.
    pub chain_length: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub at: DateTime<Utc>,
    pub cause: FailureCause,
    /// The words of the authority, the DNS provider or the library, unchanged.
    pub message: String,
    /// What a person should do.
    pub remedy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCause {
    /// The name does not resolve, or not to us.
    Dns,
    /// A CAA record forbids this authority.
    Caa,
    /// The authority reached the name, but not our answer.
    Challenge,
    /// The authority refuses the name.
    Refused,
    /// Too many orders or failures; `next_attempt_at` says when.
    RateLimited,
    /// The authority does not answer, or is broken.
    AuthorityDown,
    /// The account is refused or gone.
    Account,
    /// The DNS provider refuses us or does not answer.
    Provider,
    /// The given certificate or key cannot be used.
    Unusable,
    /// Ours: disk, limits.
    Internal,
}

/// `GET /acme-accounts/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    pub id: String,
    pub generation: u64,
    /// Its address at the authority, once registered.
    pub url: Option<String>,
    pub last_error: Option<Failure>,
    pub revision: u64,
    /// Grows whenever [`AccountMaterial`] changed (registration, key roll).
    pub material_version: u64,
}

/// `GET /certificates?since=REVISION`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateList {
    /// For the next `since`. Starts again from a higher number after a restart of the ingress.
    pub revision: u64,
    pub certificates: Vec<CertificateState>,
    pub accounts: Vec<AccountState>,
    pub providers: Vec<ProviderState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderState {
    pub id: String,
    pub generation: u64,
}

/// A put of a desired item that is kept on disk and fenced by its generation.
pub trait Desired {
    fn id(&self) -> &str;
    fn generation(&self) -> u64;
    /// # Errors
    /// What is wrong with it, for a person.
    fn validate(&self) -> Result<(), DesiredError>;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredError {
    #[error(transparent)]
    Id(#[from] RouteError),
    #[error("a certificate needs from 1 to {NAMES_MAX} names, not {count}")]
    NameCount { count: usize },
    #[error("the name {name:?} cannot be in a certificate: {reason}")]
    Name { name: String, reason: String },
    #[error("the wildcard {name:?} needs the challenge dns-01")]
    WildcardNeedsDns { name: String },
    #[error("{what} is longer than {limit} bytes")]
    TooLong { what: &'static str, limit: usize },
    #[error("{what} is not valid: {reason}")]
    Invalid { what: &'static str, reason: String },
}

impl Desired for DesiredCertificate {
    fn id(&self) -> &str {
        &self.id
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn validate(&self) -> Result<(), DesiredError> {
        validate_id(&self.id)?;
        if self.names.is_empty() || self.names.len() > NAMES_MAX {
            return Err(DesiredError::NameCount { count: self.names.len() });
        }
        for (index, name) in self.names.iter().enumerate() {
            validate_name(name)?;
            if self.names.iter().take(index).any(|earlier| earlier == name) {
                return Err(DesiredError::Name { name: name.clone(), reason: "it appears twice".to_owned() });
            }
        }
        at_most("the group", self.group.len(), 200)?;
        match &self.how {
            Issuance::Acme { account, challenge, profile } => {
                validate_id(account)?;
                if let Challenge::Dns01 { provider } = challenge {
                    validate_id(provider)?;
                } else if let Some(name) = self.names.iter().find(|name| name.starts_with("*.")) {
                    return Err(DesiredError::WildcardNeedsDns { name: name.clone() });
                }
                at_most("the profile", profile.as_ref().map_or(0, String::len), 100)?;
            }
            Issuance::Own { chain_pem, key_pem } => {
                at_most("the chain", chain_pem.len(), PEM_BYTES_MAX)?;
                at_most("the key", key_pem.reveal().len(), PEM_BYTES_MAX)?;
            }
            Issuance::SelfSigned => {}
        }
        if let Some(material) = &self.material {
            at_most("the chain", material.chain_pem.len(), PEM_BYTES_MAX)?;
            at_most("the key", material.key_pem.reveal().len(), PEM_BYTES_MAX)?;
        }
        Ok(())
    }
}

impl Desired for DesiredAccount {
    fn id(&self) -> &str {
        &self.id
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn validate(&self) -> Result<(), DesiredError> {
        validate_id(&self.id)?;
        at_most("the directory", self.directory_url.len(), TEXT_BYTES_MAX)?;
        let url: http::Uri = self.directory_url.parse().map_err(|error: http::uri::InvalidUri| invalid("the directory", &error))?;
        if url.scheme_str() != Some("https") || url.host().is_none() {
            return Err(invalid("the directory", &"it must begin with https://"));
        }
        if self.contacts.len() > CONTACTS_MAX {
            return Err(invalid("the list of contacts", &format!("more than {CONTACTS_MAX}")));
        }
        for contact in &self.contacts {
            at_most("a contact", contact.len(), 320)?;
            if !contact.contains('@') || contact.contains([',', '?', ' ']) {
                return Err(invalid("a contact", &format!("{contact:?} is not a mail address")));
            }
        }
        at_most("the authority", self.authority_pem.as_ref().map_or(0, String::len), PEM_BYTES_MAX)
    }
}

impl Desired for DesiredProvider {
    fn id(&self) -> &str {
        &self.id
    }

    fn generation(&self) -> u64 {
        self.generation
    }

    fn validate(&self) -> Result<(), DesiredError> {
        validate_id(&self.id)?;
        let texts: &[&str] = match &self.provider {
            DnsProvider::Rfc2136 { server, zone, key_name, key, .. } => {
                for (what, name) in [("the zone", zone), ("the name of the key", key_name)] {
                    host::normalise(name).map_err(|error| invalid(what, &error))?;
                }
                &[server, zone, key_name, key.reveal()]
            }
            DnsProvider::Cloudflare { token } | DnsProvider::Hetzner { token } | DnsProvider::DigitalOcean { token } => &[token.reveal()],
            DnsProvider::Route53 { access_key_id, secret_access_key, .. } => &[access_key_id, secret_access_key.reveal()],
        };
        for text in texts {
            at_most("a credential", text.len(), TEXT_BYTES_MAX)?;
            if text.is_empty() || text.chars().any(|letter| letter.is_control()) {
                return Err(invalid("a credential", &"it is empty or holds a control character"));
            }
        }
        Ok(())
    }
}

/// A host name of two labels or more, with `*.` in front for a wildcard.
///
/// # Errors
/// Which rule it breaks.
pub fn validate_name(name: &str) -> Result<(), DesiredError> {
    let broken = |reason: &str| Err(DesiredError::Name { name: name.to_owned(), reason: reason.to_owned() });
    let rest = name.strip_prefix("*.").unwrap_or(name);
    if !host::is_normal(rest) {
        return broken("it is not a lower-case host name without port (apply IDNA first)");
    }
    if rest.parse::<std::net::IpAddr>().is_ok() || rest.starts_with('[') {
        return broken("it is an address");
    }
    if rest.contains('_') {
        return broken("an underscore is not allowed in certificates");
    }
    if name.starts_with("*.") && !rest.contains('.') {
        return broken("a wildcard of a top-level domain is not allowed");
    }
    Ok(())
}

/// Whether `pattern` (exact, or `*.` for one label) covers `name`.
pub fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        None => pattern == name,
        Some(parent) => name.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
    }
}

fn at_most(what: &'static str, length: usize, limit: usize) -> Result<(), DesiredError> {
    if length > limit { Err(DesiredError::TooLong { what, limit }) } else { Ok(()) }
}

fn invalid(what: &'static str, reason: &dyn std::fmt::Display) -> DesiredError {
    DesiredError::Invalid { what, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, fits) in [
            ("a.test", true),
            ("*.a.test", true),
            ("localhost", true),
            ("*.test", false),
            ("*", false),
            ("a.*.test", false),
            ("A.test", false),
            ("a_b.test", false),
            ("192.0.2.1", false),
            ("a.test:443", false),
        ] {
            assert_eq!(validate_name(name).is_ok(), fits, "{name}");
        }
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        assert!(covers("*.a.test", "x.a.test") && covers("a.test", "a.test"));
        for name in ["a.test", "x.y.a.test", ".a.test", "xa.test"] {
            assert!(!covers("*.a.test", name), "{name}");
        }
    }

    #[test]
    fn the_wire_is_stable_and_debug_shows_no_key() {
        let text = r#"{"id":"c1","generation":3,"names":["*.a.test"],"how":{"kind":"acme","account":"le","challenge":{"kind":"dns-01","provider":"p1"}}}"#;
        let desired: DesiredCertificate = serde_json::from_str(text).unwrap();
        desired.validate().unwrap();
        let provider: DesiredProvider =
            serde_json::from_str(r#"{"id":"p1","generation":1,"provider":{"kind":"cloudflare","token":"s3cr3t"}}"#).unwrap();
        provider.validate().unwrap();
        assert!(!format!("{provider:?}").contains("s3cr3t"));
        assert!(serde_json::to_string(&provider).unwrap().contains("s3cr3t"), "the socket carries it");
        let mut plain = desired;
        plain.how = Issuance::Acme { account: "le".to_owned(), challenge: Challenge::Http01, profile: None };
        assert!(matches!(plain.validate(), Err(DesiredError::WildcardNeedsDns { .. })));
    }
}

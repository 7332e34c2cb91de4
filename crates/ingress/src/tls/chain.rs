//! Reads a chain and its key, and says in words what is wrong with them.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use crate::certificates::{Material, Served, covers};

/// Certificates in one chain.
const CHAIN_LENGTH_MAX: usize = 10;
const RSA_BITS_MIN: usize = 2_048;

/// Why a chain and key cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("the chain holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    #[error("the chain holds {count} certificates, more than {CHAIN_LENGTH_MAX}")]
    TooManyCertificates { count: usize },
    #[error("certificate {position} of the chain cannot be read: {reason}")]
    Certificate { position: usize, reason: String },
    #[error("the private key cannot be read: {reason}")]
    Key { reason: String },
    #[error("the private key does not belong to the first certificate of the chain")]
    KeyMismatch,
    #[error("an RSA key of {bits} bits is too short; clients refuse fewer than {RSA_BITS_MIN}")]
    WeakKey { bits: usize },
    #[error("the certificate expired on {not_after}")]
    Expired { not_after: String },
    #[error("the certificate is valid from {not_before} only")]
    NotYet { not_before: String },
    #[error("the certificate does not name {name}; it names {names}")]
    NameMissing { name: String, names: String },
    #[error("certificate {position} of the chain ({subject}) did not sign the one before it, which was issued by {issuer}")]
    WrongChain { position: usize, subject: String, issuer: String },
    #[error("the chain lacks the intermediate certificate of {issuer}; many clients cannot check it then")]
    Incomplete { issuer: String },
    #[error("the first certificate is an authority's, not a server's: put the server's certificate first")]
    AuthorityFirst,
}

impl Unusable {
    /// What its owner should do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoCertificate | Self::Certificate { .. } | Self::TooManyCertificates { .. } => {
                "Paste the certificate and its intermediates as PEM, the server's certificate first."
            }
            Self::Key { .. } => "Paste the unencrypted private key as PEM (PKCS#8, PKCS#1 or SEC1).",
            Self::KeyMismatch => "Paste the key that the certificate was requested with, or have the certificate issued again.",
            Self::WeakKey { .. } => "Have the certificate issued again with an RSA key of 2048 bits or an ECDSA key.",
            Self::Expired { .. } => "Have the certificate renewed by its issuer and paste the new one.",
            Self::NotYet { .. } => "Wait until it is valid, or check the clock of this machine.",
            Self::NameMissing { .. } => "Paste a certificate that names every domain, or remove the domain from it.",
            Self::WrongChain { .. } | Self::AuthorityFirst => {
                "Order the chain: the server's certificate, then each issuer after what it signed; the root may be left out."
            }
            Self::Incomplete { .. } => "Add the intermediate certificates that the issuer gave (often called bundle or full chain).",
        }
    }
}

/// A chain and key that fit.
#[derive(Debug, Clone)]
pub struct Checked {
    pub served: Served,
    /// Names of the leaf, lower case.
    pub names: Vec<String>,
    pub key: Arc<CertifiedKey>,
    pub leaf: CertificateDer<'static>,
}

/// Reads and compares; time and names are not looked at.
///
/// # Errors
/// What is wrong, for a person.
pub fn check(material: &Material) -> Result<Checked, Unusable> {
    let chain = chain_of(&material.chain_pem)?;
    let (leaf, parsed) = leaf_of(&chain)?;
    let key = key_of(material.key_pem.reveal())?;
    let signing = ring::sign::any_supported_type(&key).map_err(|error| Unusable::Key { reason: error.to_string() })?;
    let key = CertifiedKey::new(chain.clone(), signing);
    // ring always knows its public key: `Unknown` cannot hide a mismatch.
    key.keys_match().map_err(|_| Unusable::KeyMismatch)?;
    let served = Served {
        not_before: time(parsed.validity().not_before.timestamp()),
        not_after: time(parsed.validity().not_after.timestamp()),
        issuer: parsed.issuer().to_string(),
        serial: hex(parsed.raw_serial()),
        fingerprint: hex(&Sha256::digest(leaf)),
        chain_length: chain.len(),
    };
    let names = names_of(&parsed);
    let leaf = leaf.clone();
    Ok(Checked { served, names, key: Arc::new(key), leaf })
}

/// Checks what an owner pasted: everything that clients would stumble over.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_own(material: &Material, names: &[String], now: DateTime<Utc>) -> Result<Checked, Unusable> {
    let checked = check(material)?;
    let chain = chain_of(&material.chain_pem)?;
    let (_, leaf) = leaf_of(&chain)?;
    if leaf.is_ca() && chain.len() > 1 {
        return Err(Unusable::AuthorityFirst);
    }
    if let Ok(x509_parser::public_key::PublicKey::RSA(key)) = leaf.public_key().parsed()
        && key.key_size() < RSA_BITS_MIN
    {
        return Err(Unusable::WeakKey { bits: key.key_size() });
    }
    if checked.served.not_after <= now {
        return Err(Unusable::Expired { not_after: checked.served.not_after.to_rfc3339() });
    }
    if checked.served.not_before > now {
        return Err(Unusable::NotYet { not_before: checked.served.not_before.to_rfc3339() });
    }
    let names_it = |name: &&String| !checked.names.iter().any(|own| own == *name || (!name.starts_with("*.") && covers(own, name)));
    if let Some(name) = names.iter().find(names_it) {
        return Err(Unusable::NameMissing { name: name.clone(), names: checked.names.join(", ") });
    }
    check_order(&chain)?;
    Ok(checked)
}

/// Each certificate is signed by the next. A chain of one must be self-signed, or its issuer is missing.
fn check_order(chain: &[CertificateDer<'static>]) -> Result<(), Unusable> {
    let mut before: Option<X509Certificate<'_>> = None;
    for (position, der) in chain.iter().enumerate() {
        let (_, certificate) = parse(der, position + 1)?;
        if let Some(child) = &before {
            let signed = child.issuer() == certificate.subject() && child.verify_signature(Some(certificate.public_key())).is_ok();
            if !signed {
                return Err(Unusable::WrongChain {
                    position: position + 1,
                    subject: certificate.subject().to_string(),
                    issuer: child.issuer().to_string(),
                });
            }
        }
        before = Some(certificate);
    }
    match before {
        Some(only) if chain.len() == 1 && only.issuer() != only.subject() => {
            Err(Unusable::Incomplete { issuer: only.issuer().to_string() })
        }
        _ => Ok(()),
    }
}

fn chain_of(pem: &str) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain = read.map_err(|error| Unusable::Certificate { position: 1, reason: error.to_string() })?;
    match chain.len() {
        0 => Err(Unusable::NoCertificate),
        count if count > CHAIN_LENGTH_MAX => Err(Unusable::TooManyCertificates { count }),
        _ => Ok(chain),
    }
}

fn leaf_of<'a>(chain: &'a [CertificateDer<'static>]) -> Result<(&'a CertificateDer<'static>, X509Certificate<'a>), Unusable> {
    let leaf = chain.first().ok_or(Unusable::NoCertificate)?;
    let (_, parsed) = parse(leaf, 1)?;
    Ok((leaf, parsed))
}

fn parse<'a>(der: &'a CertificateDer<'static>, position: usize) -> Result<(&'a [u8], X509Certificate<'a>), Unusable> {
    X509Certificate::from_der(der).map_err(|error| Unusable::Certificate { position, reason: error.to_string() })
}

fn key_of(pem: &str) -> Result<PrivateKeyDer<'static>, Unusable> {
    if pem.contains("ENCRYPTED") {
        return Err(Unusable::Key { reason: "it is encrypted with a passphrase".to_owned() });
    }
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| Unusable::Key { reason: error.to_string() })
}

fn names_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    alternative.value.general_names.iter().filter_map(name).collect()
}

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

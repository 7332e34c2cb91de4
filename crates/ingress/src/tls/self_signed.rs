//! Certificates that this machine signs itself, for local use.

use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::PrivateKeyDer;

use crate::{certificates::Material, key_text::KeyText};

/// Browsers refuse longer ones.
const VALID_DAYS: i64 = 397;

/// A new key and a certificate for `names`, valid from a day ago.
///
/// # Errors
/// A name that no certificate can hold.
pub fn self_signed(names: &[String], now: DateTime<Utc>) -> Result<Material, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Seaway, self-signed");
    set_validity(&mut params, now, VALID_DAYS);
    let certificate = params.self_signed(&key)?;
    Ok(Material { chain_pem: certificate.pem(), key_pem: KeyText::new(key.serialize_pem()) })
}

/// The certificate that answers the challenge tls-alpn-01 (RFC 8737).
///
/// # Errors
/// A name that no certificate can hold.
pub fn challenge_certificate(name: &str, digest: &[u8], now: DateTime<Utc>) -> Result<rustls::sign::CertifiedKey, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    set_validity(&mut params, now, 7);
    params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let der = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    let signing = rustls::crypto::ring::sign::any_supported_type(&der).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    Ok(rustls::sign::CertifiedKey::new(vec![certificate.der().clone()], signing))
}

fn set_validity(params: &mut CertificateParams, now: DateTime<Utc>, days: i64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |time: DateTime<Utc>| epoch + std::time::Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or_default());
    params.not_before = at(now - TimeDelta::days(1));
    params.not_after = at(now + TimeDelta::days(days));
}

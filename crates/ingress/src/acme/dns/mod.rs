//! TXT records for dns-01, by the APIs of DNS providers.
//!
//! To add one: a variant of [`DnsProvider`], a file here with its [`Dns`], its line in [`open`], a test with the API's documented
//! answers in `tests.rs`.

mod cloudflare;
mod digitalocean;
mod hetzner;
mod rest;
mod rfc2136;
mod route53;
mod sigv4;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::Clock;

use super::web::{Reach, Web, WebError};
use crate::certificates::{DesiredProvider, DnsProvider};

/// Seconds that others may remember a record.
const TTL_SECONDS: u32 = 60;
/// A change that is not seen by then is tried as it is; the authority may know better.
const SETTLE_MAX: Duration = Duration::from_secs(120);
const SETTLE_POLL: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error(transparent)]
    Web(#[from] WebError),
    #[error("{provider} refused ({status}): {message}")]
    Refused { provider: &'static str, status: u16, message: String },
    #[error("no zone of this account holds {name}")]
    NoZone { name: String },
    #[error("the zone {zone} does not hold {name}")]
    OtherZone { zone: String, name: String },
    #[error("the answer of {provider} cannot be read: {message}")]
    Answer { provider: &'static str, message: String },
    #[error("the DNS server {server} {message}")]
    Server { server: String, message: String },
}

/// What was set; taken back with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Without a dot at the end: `_acme-challenge.example.org`.
    pub name: String,
    pub values: Vec<String>,
    /// The provider's own: zone, records.
    pub zone: String,
    pub records: Vec<String>,
}

#[async_trait]
pub trait Dns: Send + Sync {
    /// Adds TXT records with these values at `name`.
    async fn place(&self, name: &str, values: &[String]) -> Result<Placed, DnsError>;

    /// Returns when the records are seen, or after [`SETTLE_MAX`].
    async fn settle(&self, placed: &Placed) -> Result<(), DnsError>;

    /// Takes them back. Already gone is no error.
    async fn remove(&self, placed: &Placed) -> Result<(), DnsError>;
}

pub fn open(desired: &DesiredProvider, clock: Arc<dyn Clock>) -> Result<Box<dyn Dns>, DnsError> {
    let reach = Reach { may_be_private: desired.may_be_private, may_be_plain: false };
    let web = || Web::new(None, Reach::default());
    Ok(match &desired.provider {
        DnsProvider::Rfc2136 { server, zone, key_name, algorithm, key } => {
            Box::new(rfc2136::Rfc2136::new(server, zone, key_name, *algorithm, key, reach, clock)?)
        }
        DnsProvider::Cloudflare { token } => Box::new(cloudflare::Cloudflare::new(web()?, cloudflare::BASE, token)),
        DnsProvider::Route53 { access_key_id, secret_access_key, hosted_zone_id } => Box::new(route53::Route53::new(
            web()?,
            route53::BASE,
            access_key_id.clone(),
            secret_access_key.clone(),
            hosted_zone_id.clone(),
            clock,
        )),
        DnsProvider::Hetzner { token } => Box::new(hetzner::Hetzner::new(web()?, hetzner::BASE, token)),
        DnsProvider::DigitalOcean { token } => Box::new(digitalocean::DigitalOcean::new(web()?, digitalocean::BASE, token)),
    })
}

/// The zones that may hold `name`, the longest first: never a top-level domain.
fn zones_of(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(name);
    std::iter::from_fn(move || {
        rest = rest?.split_once('.').map(|(_, parent)| parent);
        rest.filter(|zone| zone.contains('.'))
    })
}

/// `name` without `.zone`.
fn relative<'a>(name: &'a str, zone: &str) -> &'a str {
    name.strip_suffix(zone).and_then(|rest| rest.strip_suffix('.')).unwrap_or(name)
}

//! DigitalOcean, API v2: <https://docs.digitalocean.com/reference/api/digitalocean/#tag/Domain-Records>.

use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use serde_json::json;

use super::{Dns, DnsError, Placed, TTL_SECONDS, relative, rest::Rest, zones_of};
use crate::{acme::web::Web, key_text::KeyText};

pub const BASE: &str = "https://api.digitalocean.com/v2";
/// There is no call that tells when a change is everywhere.
const SETTLE: Duration = Duration::from_secs(20);

pub struct DigitalOcean(Rest);

impl DigitalOcean {
    pub fn new(web: Web, base: &str, token: &KeyText) -> Self {
        Self(Rest::new(web, base, token, "DigitalOcean"))
    }

    async fn zone_of(&self, name: &str) -> Result<String, DnsError> {
        for zone in zones_of(name) {
            if self.0.call(Method::GET, &format!("/domains/{zone}"), None).await?.is_some() {
                return Ok(zone.to_owned());
            }
        }
        Err(DnsError::NoZone { name: name.to_owned() })
    }
}

#[async_trait]
impl Dns for DigitalOcean {
    async fn place(&self, name: &str, values: &[String]) -> Result<Placed, DnsError> {
        let zone = self.zone_of(name).await?;
        let record = |value: &String| json!({"type": "TXT", "name": relative(name, &zone), "data": value, "ttl": TTL_SECONDS});
        let records = self.0.make_each(&records_of(&zone), values.iter().map(record).collect(), "/domain_record/id").await?;
        Ok(Placed { name: name.to_owned(), values: values.to_vec(), zone, records })
    }

    async fn settle(&self, _: &Placed) -> Result<(), DnsError> {
        tokio::time::sleep(SETTLE).await;
        Ok(())
    }

    async fn remove(&self, placed: &Placed) -> Result<(), DnsError> {
        self.0.delete_each(&records_of(&placed.zone), &placed.records).await
    }
}

fn records_of(zone: &str) -> String {
    format!("/domains/{zone}/records")
}

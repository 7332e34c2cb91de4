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
        let mut placed = Placed { name: name.to_owned(), values: values.to_vec(), zone, records: Vec::new() };
        for value in values {
            let record = json!({"type": "TXT", "name": relative(name, &placed.zone), "data": value, "ttl": TTL_SECONDS});
            let made = self.0.call(Method::POST, &format!("/domains/{}/records", placed.zone), Some(&record)).await;
            let id = made.and_then(|answer| {
                let id = answer.as_ref().and_then(|answer| answer.pointer("/domain_record/id")).and_then(serde_json::Value::as_u64);
                id.ok_or_else(|| self.0.unreadable("the record's id"))
            });
            match id {
                Ok(id) => placed.records.push(id.to_string()),
                Err(error) => {
                    self.remove(&placed).await?;
                    return Err(error);
                }
            }
        }
        Ok(placed)
    }

    async fn settle(&self, _: &Placed) -> Result<(), DnsError> {
        tokio::time::sleep(SETTLE).await;
        Ok(())
    }

    async fn remove(&self, placed: &Placed) -> Result<(), DnsError> {
        for record in &placed.records {
            self.0.call(Method::DELETE, &format!("/domains/{}/records/{record}", placed.zone), None).await?;
        }
        Ok(())
    }
}

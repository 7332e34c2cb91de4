//! Cloudflare, API v4: <https://developers.cloudflare.com/api/resources/dns/>.

use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use serde_json::json;

use super::{Dns, DnsError, Placed, TTL_SECONDS, rest::Rest, zones_of};
use crate::{acme::web::Web, key_text::KeyText};

pub const BASE: &str = "https://api.cloudflare.com/client/v4";
/// A change is at all of its servers within seconds; there is no call that tells.
const SETTLE: Duration = Duration::from_secs(8);

pub struct Cloudflare(Rest);

impl Cloudflare {
    pub fn new(web: Web, base: &str, token: &KeyText) -> Self {
        Self(Rest::new(web, base, token, "Cloudflare"))
    }

    async fn zone_of(&self, name: &str) -> Result<String, DnsError> {
        for zone in zones_of(name) {
            let found = self.0.call(Method::GET, &format!("/zones?name={zone}"), None).await?;
            let id = found.as_ref().and_then(|answer| answer.pointer("/result/0/id")).and_then(|id| id.as_str());
            if let Some(id) = id {
                return Ok(id.to_owned());
            }
        }
        Err(DnsError::NoZone { name: name.to_owned() })
    }
}

#[async_trait]
impl Dns for Cloudflare {
    async fn place(&self, name: &str, values: &[String]) -> Result<Placed, DnsError> {
        let zone = self.zone_of(name).await?;
        let mut placed = Placed { name: name.to_owned(), values: values.to_vec(), zone, records: Vec::new() };
        for value in values {
            let record = json!({"type": "TXT", "name": name, "content": format!("\"{value}\""), "ttl": TTL_SECONDS});
            let made = self.0.call(Method::POST, &format!("/zones/{}/dns_records", placed.zone), Some(&record)).await;
            let id = made.and_then(|answer| {
                let id = answer.as_ref().and_then(|answer| answer.pointer("/result/id")).and_then(|id| id.as_str());
                id.map(str::to_owned).ok_or_else(|| self.0.unreadable("the record's id"))
            });
            match id {
                Ok(id) => placed.records.push(id),
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
            self.0.call(Method::DELETE, &format!("/zones/{}/dns_records/{record}", placed.zone), None).await?;
        }
        Ok(())
    }
}
